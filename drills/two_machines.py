"""The same package is given to two at the same time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from alp_assets.params import PROJECT
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check, check_intact
from drills.children import PATIENCE_S, End, environment_without_dagster, stages_of, wait_for
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, DrillFailed, DrillSkipped, expect
from drills.work import Hold

_BUSY = "another process is working on this package"


def two_processes(ground: Ground) -> str:
    """A process is in the middle of a package, and Dagster runs it: the run says who is in its way."""
    job = ground.job
    folder = PackageFolder(job.fresh(), CUSTOMER, PACKAGE)
    marker, release = (ground.folder / f"two-processes-{name}" for name in ("held", "go-on"))
    with stages_of(folder, ground.archive, before=Hold("clips", marker, release)) as child:
        wait_for(marker.exists, "the process is in the middle of the package", child)
        said = job.refused(job.ask(folder))
        release.touch()
        end = child.end()
    expect(_BUSY in said, f"the run failed for another reason than the process: {said}")
    expect(end.well, f"the process was disturbed: {end}")
    job.check(folder)
    return f"the run: {said}; the process {end}"


def two_machines(ground: Ground) -> str:
    """`alp onboard` on two machines, told apart by their names, that share a data root on a disk."""
    root = ground.new_root()
    commands = [_onboard(ground, root, f"machine-{name}") for name in "ab"]
    try:
        ends = [_end(command) for command in commands]
    finally:
        for command in commands:
            command.kill()
    _check_ends(ends)
    folder = PackageFolder(root, CUSTOMER, PACKAGE)
    check_intact(ground, folder)
    check(ground, folder)
    return "; ".join(map(str, ends))


def _check_ends(ends: list[End]) -> None:
    for end in ends:
        expect(end.well or _BUSY in end.text, f"a run failed for another reason than the other one: {end}")
    expect(any(end.well for end in ends), "neither run ended well")


def _onboard(ground: Ground, root: Path, machine: str) -> subprocess.Popen[str]:
    """The command under another host name."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--uts", "true"], check=False, capture_output=True).returncode:
        raise DrillSkipped(
            "processes cannot be given a host name of their own here (unshare --uts); run it as root"
        )
    command = [sys.executable, "-m", "alp_assets", "onboard", str(ground.archive), "-c", CUSTOMER, "-p", PACKAGE]
    return subprocess.Popen(
        [unshare, "--uts", "sh", "-c", f'hostname {machine} && exec "$@"', "sh", *command, "--data", str(root)],
        cwd=PROJECT,
        env=environment_without_dagster(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(command: subprocess.Popen[str]) -> End:
    try:
        _, said = command.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise DrillFailed(f"`alp onboard` did not end by itself within {PATIENCE_S:g} s") from None
    return End(max(0, -command.returncode), "" if command.returncode == 0 else "Error", _plain(said))


def _plain(said: str) -> str:
    return " ".join(said.split())[-300:]


DRILLS = (
    Drill("two-processes", "a Dagster run of a package that another process works on", two_processes),
    Drill("two-machines", "`alp onboard` of the same package under two host names at once", two_machines),
)
