"""The synthetic customer: machine recordings and their table, from a few numbers.

The same ``SynthSpec`` gives the same bytes, however many threads or processes make them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alp_assets.errors import ParameterError
from alp_assets.files import sha256_of
from alp_assets.parallel import ordered_map, process_map
from alp_assets.progress import Progress, silent
from alp_assets.synth.forms import write_form
from alp_assets.synth.recordings import Recording, record, tasks
from alp_assets.synth.shapes import keep_freed_memory
from alp_assets.synth.spec import FULL_SHAPE, SynthSpec, scaled, spec_from

__all__ = ["FULL_SHAPE", "SynthSpec", "SynthSummary", "scaled", "spec_from", "synthesize"]

_MANY = 500
"""Recordings from which on processes, which work side by side better than threads, are worth their start."""


@dataclass(frozen=True)
class SynthSummary:
    """What was written: counts, seconds of audio per channel, size, and the SHA-256 of a zip (else empty)."""

    recordings: int
    sections: int
    seconds: float
    bytes: int
    sha256: str


def synthesize(
    target: Path,
    spec: SynthSpec,
    progress: Progress = silent,
    *,
    workers: int = 0,
    form: str = "package",
) -> SynthSummary:
    """Write the customer's recordings to ``target``; they appear there only when complete.

    Args:
        target: the zip to write, where an existing file is replaced; of the form ``dcase`` a new folder.
        spec: what goes into it.
        progress: told after every recording.
        workers: threads, or processes where there is much to do; 0 means one for each core. The bytes do not
            depend on it.
        form: ``package`` for a customer's zip, ``dcase`` for the folders of DCASE Task 2.

    Raises:
        ParameterError: the form is unknown, something is in the way at ``target``, or there is no room for it.
    """
    _check_room(target, spec)
    keep_freed_memory()
    with closing(_made(spec, workers or len(os.sched_getaffinity(0)), progress)) as recordings:
        write_form(form, target, recordings)
    whole = target.is_file()
    return SynthSummary(
        recordings=spec.recordings,
        sections=spec.sections,
        seconds=spec.recordings * spec.samples / spec.sample_rate_hz,
        bytes=sum(path.stat().st_size for path in ([target] if whole else target.rglob("*")) if path.is_file()),
        sha256=sha256_of(target) if whole else "",
    )


def _check_room(target: Path, spec: SynthSpec) -> None:
    needed = spec.recordings * spec.samples * spec.channels * 2
    free = shutil.disk_usage(next(place for place in target.absolute().parents if place.exists())).free
    if needed > free:
        raise ParameterError(
            f"{target}: {spec.recordings:,} recordings take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are "
            "free. Ask for fewer machines or a smaller scale, or write to another disk."
        )


def _made(spec: SynthSpec, workers: int, progress: Progress) -> Generator[Recording, None, None]:
    work = partial(record, spec)
    if spec.recordings < _MANY:
        recordings = ordered_map(work, tasks(spec), workers)
    else:
        recordings = process_map(work, tasks(spec), workers, keep_freed_memory)
    for done, recording in enumerate(recordings, 1):
        yield recording
        progress(done, spec.recordings, "recordings")
