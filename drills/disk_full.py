"""The disk is full, in every stage."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from alp_assets.params import load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES
from drills.aftermath import check, check_intact
from drills.children import stages_of
from drills.ground import PARAMETERS, Ground
from drills.verdict import Drill, DrillSkipped, expect

_SIZE = "48m"
_PAGE = 4096
_PATCHES = PARAMETERS.replace("isolation_forest", "patch_memory") + "embeddings: {encoder: logmel}\n"


def disk_full(ground: Ground, stage: str) -> str:
    """Half as much room as the stage needs: it must fail in words, and go on once there is room."""
    needed = sum(path.stat().st_size for path in (ground.undisturbed.path / stage).rglob("*") if path.is_file())
    with small_disk(ground.folder / "disk") as place:
        folder = ground.before(stage, place / "data")
        ballast = fill(place, leave=needed // 2)
        end = stages_of(folder, ground.archive, stage).end()
        expect(not end.well, f"{stage} ended well on a full disk")
        expect(not end.signal, f"{stage} was {end} instead of saying that the disk is full")
        expect(end.kind == "DiskRefused", f"{stage} does not say that the disk is full: {end}")
        expect(not (folder.path / stage).exists(), f"half of {stage} was published")
        check_intact(ground, folder)
        ballast.unlink()
        check(ground, folder)
    return f"{end.kind}: {end.text}"


def mapped_arrays(ground: Ground) -> str:
    """Room for the blank arrays of embeddings and not for their rows: mapped files must not kill the process."""
    with small_disk(ground.folder / "disk") as place:
        folder = ground.before("embeddings", place / "data")
        parameters = folder.data_root / "params.yaml"
        parameters.write_text(_PATCHES, encoding="utf-8")
        run_stage("embeddings", folder, load_params(folder.data_root))
        needed = sum(path.stat().st_size for path in (folder.path / "embeddings").rglob("*.npy"))
        folder.withdraw("embeddings")
        ballast = fill(place, leave=needed // 2)
        end = stages_of(folder, None, "embeddings").end()
        expect(end.kind == "DiskRefused", f"embeddings ended with {end}")
        ballast.unlink()
        parameters.write_text(PARAMETERS, encoding="utf-8")
        check(ground, folder)
    return f"{needed:,} bytes of arrays: {end}"


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own; ``DrillSkipped`` where mounting isn't allowed."""
    place.mkdir()
    mount(["-t", "tmpfs", "-o", f"size={_SIZE}", "alp-drill", str(place)])
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def mount(options: list[str]) -> None:
    """Mount something; ``DrillSkipped`` where that isn't allowed."""
    try:
        done = subprocess.run(["mount", *options], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise DrillSkipped(f"there is no {error.filename} here") from None
    if done.returncode:
        raise DrillSkipped(f"mounting isn't allowed here ({done.stderr.strip()}); run it as root")


def fill(place: Path, *, leave: int) -> Path:
    """Write a file that leaves so many bytes, at least one page."""
    found = os.statvfs(place)
    ballast = place / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, found.f_bavail * found.f_frsize - max(_PAGE, leave))
    return ballast


DRILLS = (
    *(
        Drill(
            f"disk-full-{stage}", f"a disk with half the room that {stage} needs", partial(disk_full, stage=stage)
        )
        for stage in STAGES
    ),
    Drill("disk-full-arrays", "a disk with half the room that memory-mapped arrays need", mapped_arrays),
)
