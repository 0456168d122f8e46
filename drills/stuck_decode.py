"""The decoder of a recording hangs."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alp_assets.params import load_params, with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import read_quality
from drills.aftermath import check
from drills.children import Child, descendants, wait_for
from drills.ground import Ground
from drills.verdict import Drill, expect
from drills.work import wait_here

SECONDS = 5.0
_DECODER = "alp-decoder"


def stuck_decode(ground: Ground) -> str:
    """The decoders of a run are stopped (SIGSTOP): a recording each is set aside, the others are judged."""
    folder = ground.before("quality")
    marker, release = ground.folder / "one-decoded", ground.folder / "stopped"
    stopped: list[int] = []
    try:
        with Child(Judging(marker, release), folder) as child:
            wait_for(marker.exists, "a recording was decoded", child)
            stopped += descendants(child.pid, _DECODER)
            expect(stopped, "no decoder runs beside the run")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            release.touch()
            end = child.end()
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    expect(end.well, f"the stage ended with {end}")
    table = read_quality(folder)
    aside = table[table["verdict"] != "ok"]
    expect(
        1 <= len(aside) <= len(stopped),
        f"{len(aside)} recordings aside for {len(stopped)} decoders",
    )
    check(ground, folder)
    return f"{len(aside)} of {len(table)} recordings set aside: {aside.iloc[0]['reasons']}"


@dataclass(frozen=True)
class Judging:
    """The stage quality with little patience, held after its first recording."""

    marker: Path
    release: Path

    def __call__(self, folder: PackageFolder) -> None:
        """Run it."""
        params = with_overrides(load_params(folder.data_root), {"quality.decode_seconds": SECONDS})
        waited: list[int] = []

        def progress(done: int, total: int, what: str) -> None:
            if not waited:
                waited.append(done)
                wait_here(self.marker, self.release)

        run_stage("quality", folder, params, progress)


DRILLS = (Drill("stuck-decode", f"decoders that hang, with {SECONDS:g} s for a recording", stuck_decode),)
