"""The decoder of a recording hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from alp_assets.home import data_root
from alp_assets.progress import Progress
from alp_assets.stages.package import STAGES
from alp_assets.stages.quality import read_quality
from drills.children import descendants, wait_for
from drills.ground import PARAMETERS, Ground
from drills.job import open_job
from drills.verdict import Drill, expect
from drills.work import wait_here

SECONDS = 5.0
_DECODER = "alp-decoder"
_IMPATIENT = PARAMETERS.replace("quality: {", f"quality: {{decode_seconds: {SECONDS:g}, ")
_DECODED, _STOPPED = "one-decoded", "decoders-stopped"


def stuck_decode(ground: Ground) -> str:
    """The decoders of a run are stopped (SIGSTOP): a recording each is set aside, the others are judged."""
    folder = ground.before("quality")
    root = folder.data_root
    (root / "params.yaml").write_text(_IMPATIENT, encoding="utf-8")
    stopped: list[int] = []
    with open_job(ground, root, trap=f"{__name__}:{hold.__name__}") as job:
        try:
            run = job.ask(folder, *STAGES[STAGES.index("quality") :])
            worker = job.at_work(run)
            wait_for((root / _DECODED).exists, "a recording was decoded")
            stopped += descendants(worker, _DECODER)
            expect(stopped, "no decoder runs beside the run")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            (root / _STOPPED).touch()
            job.well(run)
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        table = read_quality(folder)
        aside = table[table["verdict"] != "ok"]
        expect(
            1 <= len(aside) <= len(stopped),
            f"{len(aside)} recordings aside for {len(stopped)} decoders",
        )
        (root / "params.yaml").write_text(PARAMETERS, encoding="utf-8")
        job.check(folder)
    return f"the run ended well, {len(aside)} of {len(table)} recordings set aside: {aside.iloc[0]['reasons']}"


def hold() -> None:
    """Let the stage quality wait after its first recording."""
    from alp_assets.assets.workplace import Workplace

    watch: Callable[..., Progress] = Workplace.watch

    def held(workplace: Workplace, stage: str, context: Any) -> Progress:
        progress = watch(workplace, stage, context)
        if stage != "quality":
            return progress
        waited: list[int] = []

        def waiting(done: int, total: int, what: str) -> None:
            if not waited:
                waited.append(done)
                wait_here(data_root() / _DECODED, data_root() / _STOPPED)
            progress(done, total, what)

        return waiting

    patch.object(Workplace, "watch", held).start()


DRILLS = (
    Drill(
        "stuck-decode", f"decoders of a Dagster run that hang, with {SECONDS:g} s for a recording", stuck_decode
    ),
)
