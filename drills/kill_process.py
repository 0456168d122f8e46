"""kill -9 of a run on one machine, in every stage."""

from __future__ import annotations

import signal

from alp_assets.stages.package import STAGES, PackageFolder
from drills.aftermath import check, check_intact
from drills.children import stages_of, wait_for
from drills.ground import CUSTOMER, PACKAGE, Ground
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


DRILLS = (Drill("kill-process", "kill -9 of a run on one machine, once in each stage", kill_process),)
