"""The disk is full, in every stage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from alp_assets.params import PROJECT, load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from drills.aftermath import check, check_intact
from drills.children import environment_without_dagster, stages_of
from drills.ground import CUSTOMER, PACKAGE, PARAMETERS, Ground
from drills.verdict import Drill, DrillSkipped, expect

_SIZE = "48m"
_TO_BEGIN, _TO_RECORD = 300_000, 1_500_000
"""Bytes with which Dagster's own files do not find room, at the beginning and in the middle of a run."""

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


def onboard(ground: Ground) -> str:
    """`alp onboard` with too little room to begin, to record what it does, and for a stage: each told in words."""
    needed = sum(path.stat().st_size for path in (ground.undisturbed.path / "clips").rglob("*") if path.is_file())
    said = []
    for leave in (_TO_BEGIN, _TO_RECORD, _TO_RECORD + needed // 2):
        with small_disk(ground.folder / "disk") as place:
            folder = PackageFolder(ground.new_root(place / "data"), CUSTOMER, PACKAGE)
            ballast = fill(place, leave=leave)
            end = _onboard(ground, folder)
            expect(
                end.returncode in (1, 2), f"with {leave:,} bytes left it ended with {end.returncode}: {end.stderr}"
            )
            expect("the disk is full" in end.stderr, f"it does not say that the disk is full: {end.stderr}")
            check_intact(ground, folder)
            ballast.unlink()
            end = _onboard(ground, folder)
            expect(end.returncode == 0, f"with room again it ended with {end.returncode}: {end.stderr}")
            check(ground, folder)
            said.append(f"{leave:,} bytes")
    return f"with {', '.join(said)} left: the disk is full, so that … could not be finished; then, with room, done"


def _onboard(ground: Ground, folder: PackageFolder) -> subprocess.CompletedProcess[str]:
    words = ["onboard", str(ground.archive), "-c", folder.customer, "-p", folder.package]
    return subprocess.run(
        [sys.executable, "-m", "alp_assets", *words, "--data", str(folder.data_root)],
        cwd=PROJECT,
        env=environment_without_dagster(),
        check=False,
        capture_output=True,
        text=True,
    )


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
    Drill("disk-full-onboard", "`alp onboard` on disks with too little room for Dagster or a stage", onboard),
    Drill("disk-full-arrays", "a disk with half the room that memory-mapped arrays need", mapped_arrays),
)
