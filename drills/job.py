"""Runs of the job of packages, as a real Dagster makes them: queued, launched, watched and tried again by it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.stages.package import PackageFolder
from drills.aftermath import check_intact, check_recovered
from drills.children import wait_for
from drills.dagster_dev import Dagster, running
from drills.ground import Ground
from drills.runs import DONE_S, reasons
from drills.verdict import expect

if TYPE_CHECKING:
    import dagster as dg

_WILL_RETRY = "dagster/will_retry"


@dataclass(frozen=True)
class Job:
    """The job `onboard` in a Dagster that is running."""

    ground: Ground
    dagster: Dagster
    instance: dg.DagsterInstance

    def ask(self, folder: PackageFolder, *stages: str) -> str:
        """Ask for a run over a package, of some stages or all of them, with the tags of the sensor; its id."""
        from alp_assets.assets.workplace import packages
        from sensors.turns import turn_tags

        (turn,) = turn_tags(self.instance, [folder.customer])
        tags = {
            "dagster/partition": folder.key,
            "customer": folder.customer,
            "sha256": self.ground.sent[:16],
        } | turn
        archive = {"archive": str(self.ground.archive), "original_name": folder.inbox.name}
        config = {"ops": {"upload": {"config": archive}}} if not stages or "upload" in stages else {}
        self.instance.add_dynamic_partitions(str(packages.name), [folder.key])
        return self.dagster.launch("onboard", tags, config, stages or None)

    def at_work(self, run_id: str) -> int:
        """The process that works on a run, as soon as there is one; ``DrillFailed`` when the run ends before."""
        from alp_assets.assets.processes import PROCESS_TAG

        found: list[str] = []

        def noted() -> bool:
            run = self._run(run_id)
            expect(not run.is_finished, f"the run ended before it was at work: {run.status.value}")
            found[:] = run.tags.get(PROCESS_TAG, "").split(":")
            return found[-1] == run_id  # a second try begins with the tags of the first

        wait_for(noted, "the run is at work", seconds=DONE_S)
        return int(found[1])

    def well(self, run_id: str) -> None:
        """Wait for a run to end; ``DrillFailed`` unless it ended well."""
        status = self._end(run_id).status.value
        expect(status == "SUCCESS", f"the run ended with {status}: {reasons(self.instance, run_id)}")

    def refused(self, run_id: str) -> str:
        """Why a run failed, in the words of its event. Dagster must have looked at it, and not try it again."""
        run = self._end(run_id)
        expect(run.status.value == "FAILURE", f"the run ended with {run.status.value}")
        why = reasons(self.instance, run_id)
        expect(why, "the run does not say why it failed")
        wait_for(lambda: self._judged(run_id), "Dagster has decided whether to try the run again", seconds=DONE_S)
        expect(self._run(run_id).tags.get(_WILL_RETRY) == "false", "a run that failed is to be tried again")
        expect(len(self.tries(run_id)) == 1, "a run that failed was tried again")
        return why

    def tries(self, run_id: str) -> list[str]:
        """A run and those by which Dagster tried it again, the first one first."""
        from dagster import RunsFilter

        group = self.instance.get_run_group(run_id)
        assert group is not None
        filters = RunsFilter(run_ids=[run.run_id for run in group[1]])
        return [record.dagster_run.run_id for record in self.instance.get_run_records(filters, ascending=True)]

    def status(self, run_id: str) -> str:
        """How far a run is, in Dagster's word for it."""
        return self._run(run_id).status.value

    def next_try(self, run_id: str) -> str:
        """The run by which Dagster tries a run again whose process was killed; empty when it gives up."""
        status = self._end(run_id).status.value
        expect(status == "FAILURE", f"a killed run ended with {status}")
        wait_for(lambda: self._judged(run_id), "Dagster has decided whether to try the run again", seconds=DONE_S)
        tries = self.tries(run_id)
        later = tries[tries.index(run_id) + 1 :]
        again = self._run(run_id).tags.get(_WILL_RETRY) == "true"
        expect(again == bool(later), f"a killed run that is {'' if again else 'not '}to be tried again: {later}")
        return later[0] if later else ""

    def fresh(self) -> Path:
        """The data root, empty but for the parameters of drills."""
        shutil.rmtree(self.dagster.root, ignore_errors=True)
        return self.ground.new_root(self.dagster.root)

    def check(self, folder: PackageFolder) -> None:
        """What is left is whole, and another run of the job ends as if nothing had been."""
        check_intact(self.ground, folder)
        self.well(self.ask(folder))
        check_recovered(self.ground, folder)

    def _run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def _end(self, run_id: str) -> dg.DagsterRun:
        wait_for(lambda: _paced(self._run(run_id).is_finished), "the run has ended by itself", seconds=DONE_S)
        return self._run(run_id)

    def _judged(self, run_id: str) -> bool:
        """Whether Dagster's daemon, which tries runs again, has seen the failure of a run."""
        from dagster import DagsterEventType

        failure = DagsterEventType.RUN_FAILURE
        name = f"EVENT_LOG_CONSUMER_CURSOR-{failure.value}"
        seen = self.instance.daemon_cursor_storage.get_cursor_values({name}).get(name)
        if seen is None:
            return _paced(False)
        unseen = self.instance.event_log_storage.get_logs_for_all_runs_by_log_id(
            after_cursor=int(seen), dagster_event_type={failure}
        )
        return _paced(all(event.run_id != run_id for event in unseen.values()))


@contextmanager
def open_job(ground: Ground, root: Path, *, home: Path | None = None, trap: str = "") -> Iterator[Job]:
    """Dagster on a data root, until the block ends; see ``Dagster``."""
    dagster = Dagster(root, home=home, trap=trap)
    with running(dagster) as instance:
        yield Job(ground, dagster, instance)


def _paced(holds: bool) -> bool:
    """The same, after a moment in which databases are left alone."""
    if not holds:
        time.sleep(0.3)
    return holds
