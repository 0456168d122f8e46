"""What the processes of drills do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import alp_assets.stages.package
from alp_assets.params import load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import upload
from alp_assets.store.manifest import Manifest, write_manifest

_HELD_S = 600.0


def told(answers: Connection, work: Callable[..., None], *given: Any) -> None:
    """Work, and say how it ended: name and text of an error, or two empty words."""
    try:
        work(*given)
    except BaseException as error:
        answers.send((type(error).__name__, str(error)))
    else:
        answers.send(("", ""))


def run_stages(
    folder: PackageFolder, archive: Path | None, names: Sequence[str], before: Callable[[], None] | None
) -> None:
    """Run stages one after the other; a failed gate is an error."""
    if before:
        before()
    params = load_params(folder.data_root)
    for name in names:
        summary = upload(folder, params, archive=archive) if name == "upload" else run_stage(name, folder, params)
        if not summary.passed:
            raise RuntimeError(f"{name}: a gate failed")


@dataclass(frozen=True)
class Hold:
    """Stop a run when a stage has all its files and is not published: ``marker`` appears there.

    The run goes on when ``release`` appears; where none is given, never.
    """

    stage: str
    marker: Path
    release: Path | None = None

    def __call__(self) -> None:
        """Set the trap."""
        alp_assets.stages.package.write_manifest = self._write_manifest  # type: ignore[attr-defined]

    def _write_manifest(self, folder: Path, home: Path) -> Manifest:
        if home.name == self.stage:
            wait_here(self.marker, self.release)
        return write_manifest(folder, home)


def wait_here(marker: Path, release: Path | None) -> None:
    """Leave a marker, and wait to be released, or killed."""
    marker.touch()
    until = time.monotonic() + _HELD_S
    while not (release and release.exists()) and time.monotonic() < until:
        time.sleep(0.02)
