"""kill -9 of what works on a package on one machine: a process in every stage, and a run at every try."""

from __future__ import annotations

import os
import signal

from alp_assets.stages.package import STAGES, PackageFolder
from drills.aftermath import check, check_intact
from drills.children import stages_of, wait_for
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.runs import MOST_TRIES, half_through
from drills.verdict import Drill, expect
from drills.work import Hold


def kill_process(ground: Ground) -> str:
    """A run of the whole package that is killed in each stage in turn, when that has all its files."""
    folder = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    for number, stage in enumerate(STAGES):
        marker = ground.folder / f"killed-in-{stage}"
        with stages_of(folder, ground.archive, *STAGES[number:], before=Hold(stage, marker)) as child:
            wait_for(marker.exists, f"{stage} was done", child)
            child.kill()
            expect(child.end().signal == signal.SIGKILL, "the run was not killed")
        expect(not (folder.path / stage).exists(), f"{stage} was published before it was whole")
        check_intact(ground, folder)
        if number + 1 < len(STAGES):
            end = stages_of(folder, ground.archive, stage).end()
            expect(end.well, f"{stage} did not run after a killed run: {end}")
    check(ground, folder)
    return f"killed {len(STAGES)} times; each time the stage was absent and the next run made it"


def kill_run(ground: Ground) -> str:
    """Dagster's run of a package is killed at every try: Dagster tries it a few times more and no longer."""
    job = ground.job
    folder = PackageFolder(job.fresh(), CUSTOMER, PACKAGE)
    run, killed = job.ask(folder), 0
    while run:
        worker = job.at_work(run)
        wait_for(lambda: half_through(folder), "the package is half through")
        os.kill(worker, signal.SIGKILL)
        killed += 1
        run = job.next_try(run)
    expect(killed == MOST_TRIES, f"a run that is killed every time was tried {killed} times")
    job.check(folder)
    return f"killed at {killed} tries, then given up; asked for again, done"


DRILLS = (
    Drill("kill-process", "kill -9 of a process that works on a package, once in each stage", kill_process),
    Drill("kill-run", "kill -9 of a Dagster run, at each try", kill_run),
)
