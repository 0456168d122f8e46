"""The zip in the inbox is replaced while it is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import alp_assets.stages.upload as stage
from alp_assets.params import load_params
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check
from drills.children import Child, wait_for
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, expect
from drills.work import wait_here

_CHUNK = 64 << 10


def replaced(ground: Ground, how: Callable[[Path, Path], None]) -> str:
    """Another zip takes the place of the one that is read, after its first bytes.

    What is kept must be one of the two, whole, or nothing; never a mixture. The zip that was meant goes through
    afterwards.
    """
    folder = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    folder.inbox.parent.mkdir(parents=True)
    other = ground.new_archive("other", seed=1)
    shutil.copyfile(other, folder.inbox)
    marker, release = (ground.folder / f"{how.__name__}-{name}" for name in ("read", "go-on"))
    with Child(Reading(marker, release), folder) as child:
        wait_for(marker.exists, "the first bytes were read", child)
        how(ground.archive, folder.inbox)
        release.touch()
        end = child.end()
    kept = folder.path / "upload" / stage.ARCHIVE_FILE
    whole = {other.read_bytes(): "the one before", ground.archive.read_bytes(): "the one after"}
    if kept.exists():
        expect(kept.read_bytes() in whole, "a mixture of two zips was taken for an upload")
        seen = f"kept {whole[kept.read_bytes()]}, whole"
        folder = PackageFolder(folder.data_root, CUSTOMER, "meant")
    else:
        expect(end.kind == "AlpError" and "while it was" in end.text, f"the upload ended with {end}")
        seen = str(end)
    check(ground, folder)
    return seen


@dataclass(frozen=True)
class Reading:
    """The stage upload, stopped after the first bytes."""

    marker: Path
    release: Path

    def __call__(self, folder: PackageFolder) -> None:
        """Run it in small steps."""
        stage._CHUNK = _CHUNK
        waited: list[int] = []

        def progress(done: int, total: int, what: str) -> None:
            if not waited:
                waited.append(done)
                wait_here(self.marker, self.release)

        stage.upload(folder, load_params(folder.data_root), progress)


def renamed_over(new: Path, place: Path) -> None:
    """As most programs replace a file."""
    fresh = place.with_name("fresh")
    shutil.copyfile(new, fresh)
    os.replace(fresh, place)


def written_over(new: Path, place: Path) -> None:
    """As ``cp`` and file shares do: the same file gets other bytes."""
    with place.open("r+b") as stream:
        stream.write(new.read_bytes())
        stream.truncate()


DRILLS = (
    Drill("replaced-renamed", "a zip renamed over the one that is read", partial(replaced, how=renamed_over)),
    Drill("replaced-written", "a zip written into the one that is read", partial(replaced, how=written_over)),
)
