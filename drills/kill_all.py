"""kill -9 of everything that Dagster runs on one machine, as when the power fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alp_assets.stages.package import PackageFolder
from drills.aftermath import check, check_recovered
from drills.children import wait_for
from drills.dagster_dev import Dagster, running
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.runs import DONE_S, all_ended, half_through, runs_of, send
from drills.verdict import Drill, expect

if TYPE_CHECKING:
    import dagster as dg

AT_ONCE = 2
"""Runs that one machine has at a time, by `deploy/dagster.yaml`. As many that nobody ends would stop everybody."""

CUSTOMERS = AT_ONCE + 1


def kill_all(ground: Ground) -> str:
    """Packages of several customers are at work: after a restart all must get through, by themselves."""
    root = ground.new_root()
    folders = [PackageFolder(root, CUSTOMER, PACKAGE)]
    folders += [PackageFolder(root, f"other-{number}", PACKAGE) for number in range(1, CUSTOMERS)]
    known = {folder.key for folder in folders}
    dagster = Dagster(root)
    with running(dagster) as instance:
        send(ground, folders)
        wait_for(
            lambda: len(_at_work(instance, known)) == AT_ONCE and any(map(half_through, folders)),
            "as many packages are at work as may be",
        )
        dagster.kill_all()
        left = _at_work(instance, known)
        expect(left, "nothing was at work when everything was killed")
        dagster.start_again()
        wait_for(lambda: all_ended(instance, known), "every run has ended after the restart", seconds=DONE_S)
        ended = {
            record.dagster_run.run_id: record.dagster_run.status.value
            for found in runs_of(instance, known).values()
            for record in found
        }
        last = {key: found[-1].dagster_run.status.value for key, found in runs_of(instance, known).items()}
        expect(set(last.values()) == {"SUCCESS"}, f"the packages ended with {last}")
        expect({ended[run] for run in left} == {"FAILURE"}, "a killed run has not failed")
        dagster.stop()
    for folder in folders:
        check_recovered(ground, folder)
    check(ground, folders[0])
    return f"{len(left)} runs killed with all that looks after them, and tried again; {len(folders)} packages done"


def _at_work(instance: dg.DagsterInstance, keys: set[str]) -> list[str]:
    """The runs of packages that are started and have not ended."""
    runs = [record.dagster_run for found in runs_of(instance, keys).values() for record in found]
    return [run.run_id for run in runs if run.status.value == "STARTED"]


DRILLS = (
    Drill(
        "kill-all",
        "kill -9 of `dagster dev` with all its processes and runs at once, packages of several customers at work",
        kill_all,
    ),
)
