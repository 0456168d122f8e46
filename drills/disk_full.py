"""The disk is full, in every stage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from alp_assets.params import PROJECT, load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from drills.aftermath import check, check_intact
from drills.children import environment_without_dagster, is_running, wait_for
from drills.ground import CUSTOMER, PACKAGE, PARAMETERS, Ground
from drills.job import Job, open_job
from drills.runs import DONE_S, MOST_TRIES, all_ended
from drills.verdict import Drill, DrillSkipped, expect

_SIZE = "48m"
_TO_BEGIN, _TO_RECORD = 300_000, 1_500_000
"""Bytes with which Dagster's own files do not find room, at the beginning and in the middle of a run."""

_STAYS_FULL_S = 20.0
_PAGE = 4096
_PATCHES = PARAMETERS.replace("isolation_forest", "patch_memory") + "embeddings: {encoder: logmel}\n"


def disk_full(ground: Ground, stage: str) -> str:
    """Half as much room as the stage needs: its run must fail in words, and another go through with room."""
    job, needed = ground.job, _bytes(ground.undisturbed.path / stage)
    with small_disk(ground.disk) as place:
        folder = ground.before(stage, place / "data")
        ballast = fill(place, leave=needed // 2)
        said = _refused(job, folder, stage)
        check_intact(ground, folder)
        ballast.unlink()
        job.check(folder)
    return said


def mapped_arrays(ground: Ground) -> str:
    """Room for the blank arrays of embeddings and not for their rows: mapped files must not kill the process."""
    job = ground.job
    with small_disk(ground.disk) as place:
        folder = ground.before("embeddings", place / "data")
        parameters = folder.data_root / "params.yaml"
        parameters.write_text(_PATCHES, encoding="utf-8")
        run_stage("embeddings", folder, load_params(folder.data_root))
        needed = _bytes(folder.path / "embeddings", "*.npy")
        folder.withdraw("embeddings")
        ballast = fill(place, leave=needed // 2)
        said = _refused(job, folder, "embeddings")
        ballast.unlink()
        parameters.write_text(PARAMETERS, encoding="utf-8")
        job.check(folder)
    return f"{needed:,} bytes of arrays: {said}"


def _refused(job: Job, folder: PackageFolder, stage: str) -> str:
    """What a run from a stage on says that fails there for want of room."""
    said = job.refused(job.ask(folder, *STAGES[STAGES.index(stage) :]))
    expect("the disk is full" in said, f"{stage} does not say that the disk is full: {said}")
    expect(not (folder.path / stage).exists(), f"half of {stage} was published")
    return said


def _bytes(folder: Path, which: str = "*") -> int:
    return sum(path.stat().st_size for path in folder.rglob(which) if path.is_file())


def dagster_itself(ground: Ground) -> str:
    """Dagster's own files find no room in the middle of a run: with room again, all goes on by itself."""
    with small_disk(ground.folder / "disk-of-dagster") as place:
        folder = PackageFolder(ground.new_root(place / "data"), CUSTOMER, PACKAGE)
        with open_job(ground, folder.data_root) as job:
            run = job.ask(folder)
            worker = job.at_work(run)
            wait_for((folder.path / "metadata").is_dir, "the package is half through")
            ballast = stuff(place)
            wait_for(lambda: not is_running(worker), "the run's process has ended")
            time.sleep(_STAYS_FULL_S)  # so that all that looks after runs meets the full disk too
            ballast.unlink()
            wait_for(
                lambda: all_ended(job.instance, {folder.key}), "every run has ended by itself", seconds=DONE_S
            )
            tries = [job.status(one) for one in job.tries(run)]
            expect(len(tries) <= MOST_TRIES, f"tried without end: {tries}")
            job.check(folder)
    return f"the run's process ended; with room again: {', '.join(tries)}; asked for again, done"


def onboard(ground: Ground) -> str:
    """`alp onboard` with too little room to begin, to record what it does, and for a stage: each told in words."""
    needed = _bytes(ground.undisturbed.path / "clips")
    said = []
    for leave in (_TO_BEGIN, _TO_RECORD, _TO_RECORD + needed // 2):
        with small_disk(ground.disk) as place:
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
    place.mkdir(exist_ok=True)
    mount(["-t", "tmpfs", "-o", f"size={_SIZE}", "alp-drill", str(place)])
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


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


def stuff(place: Path) -> Path:
    """Write a file until no byte finds room, though others write at the same time."""
    ballast = place / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while stream.write(bytes(_PAGE)):
            pass
    return ballast


DRILLS = (
    *(
        Drill(
            f"disk-full-{stage}",
            f"a Dagster run on a disk with half the room that {stage} needs; Dagster's own files lie elsewhere",
            partial(disk_full, stage=stage),
        )
        for stage in STAGES
    ),
    Drill(
        "disk-full-dagster", "a disk with no room for Dagster's own files in the middle of a run", dagster_itself
    ),
    Drill("disk-full-onboard", "`alp onboard` on disks with too little room for Dagster or a stage", onboard),
    Drill(
        "disk-full-arrays",
        "a Dagster run on a disk with half the room that memory-mapped arrays need",
        mapped_arrays,
    ),
)
