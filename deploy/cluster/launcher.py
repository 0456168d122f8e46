"""Dagster's Celery run launcher, which also notices when a run's worker is gone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dagster import DagsterRunStatus
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from alp_assets.assets.processes import PROCESS_TAG

ANSWER_S = 3.0
MISSES = 3
"""Looks in a row at which no worker says that it has the run. A worker is busy or reconnecting for one or two."""


class WatchedRunLauncher(CeleryRunLauncher):
    """A run per Celery task.

    Celery's own record of a task says "started" for ever when the whole worker was killed, and "success" when
    the run could not tell its end to the database. So the workers are asked whether one of them has the task.
    A run that was stopped on purpose, or for its time, is not tried again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._missed: Counter[str] = Counter()

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's worker works on it. What is found of a run that has just ended is of no account."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None and PROCESS_TAG in run.tags:  # of `alp onboard`, which no worker has
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if task_id is None:  # the daemon was killed after it had handed the run out
            if self._somebody_works_on(run.run_id):
                return self._found(run)
            return self._missing(run, "its task is not known, and no worker has it")
        result = self.celery.AsyncResult(task_id)
        state, known = result.state, result.info
        if state == "SUCCESS":
            return self._missing(run, "its worker is done with it, and has not told how it ended")
        if state in ("FAILURE", "REVOKED"):
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The worker's process ended: {known}")
        worker = known.get("hostname") if state == "STARTED" and isinstance(known, dict) else None
        if self._somebody_has(task_id, worker):
            return self._found(run)
        return self._missing(run, f"the worker {worker or ''} does not have it".replace("  ", " "))

    def terminate(self, run_id: str) -> bool:
        """End a run for good: its worker's process is killed, which leaves no half of a stage behind."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.add_run_tags(run_id, {MAX_RETRIES_TAG: "0"})
        if run.status != DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        if task_id := run.tags.get(DAGSTER_CELERY_TASK_ID_TAG):
            self.celery.control.revoke(task_id, terminate=True)
        return True

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Where the run was."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        return f"Celery task {task_id}, {self.celery.AsyncResult(task_id).state}" if task_id else None

    def _somebody_has(self, task_id: str, worker: str | None) -> bool:
        ask = self.celery.control.inspect(destination=[worker] if worker else None, timeout=ANSWER_S)
        answers = ask.query_task(task_id) or {}
        return any(task_id in tasks for tasks in answers.values())

    def _somebody_works_on(self, run_id: str) -> bool:
        answers = self.celery.control.inspect(timeout=ANSWER_S).active() or {}
        return any(run_id in str(task) for tasks in answers.values() for task in tasks)

    def _found(self, run: DagsterRun) -> CheckRunHealthResult:
        self._missed.pop(run.run_id, None)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _missing(self, run: DagsterRun, why: str) -> CheckRunHealthResult:
        self._missed[run.run_id] += 1
        if self._missed[run.run_id] < MISSES:
            return CheckRunHealthResult(WorkerStatus.RUNNING, why)
        del self._missed[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The run has no worker: {why}.")
