"""What the launcher makes of a run's worker."""

from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG as TASK

from alp_assets.assets.processes import process_tag
from deploy.cluster.launcher import MISSES, WatchedRunLauncher

STARTED, CANCELING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING


class Celery:
    """Celery as the launcher sees it: the record of one task, and what the workers say."""

    def __init__(self, state="STARTED", info=None, answers=None):
        self.state, self.answers = state, answers
        self.info = {"hostname": "cpu-1@here", "pid": 7} if info is None else info
        self.asked, self.revoked = [], []
        self.control = SimpleNamespace(inspect=self._inspect, revoke=self._revoke)

    def AsyncResult(self, _task):  # noqa: N802
        return SimpleNamespace(state=self.state, info=self.info)

    def _inspect(self, destination=None, timeout=None):
        self.asked.append(destination)
        return SimpleNamespace(query_task=lambda _task: self.answers, active=lambda: self.answers)

    def _revoke(self, task, terminate):
        self.revoked.append((task, terminate))


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def launched(instance):
    """A launcher, its Celery replaced, and a run."""

    def make(celery, status=STARTED, **tags):
        launcher = WatchedRunLauncher("cpu", broker="memory://", backend="cache+memory://")
        launcher.register_instance(instance)
        launcher.celery = celery
        return launcher, create_run_for_test(instance, status=status, tags={TASK: "task", **tags})

    return make


HAS = {"cpu-1@here": {"task": ["active", {}]}}
HAS_OTHERS = {"cpu-1@here": {}}


def looks(launcher, run, count):
    return [launcher.check_run_worker_health(run).status for _ in range(count)]


def test_a_run_that_its_worker_has_goes_on(launched):
    launcher, run = launched(celery := Celery(answers=HAS))
    assert set(looks(launcher, run, 10)) == {WorkerStatus.RUNNING}
    assert celery.asked[0] == ["cpu-1@here"]


@pytest.mark.parametrize(
    "answers", [None, {}, HAS_OTHERS], ids=["no answer", "nobody", "a worker that was restarted"]
)
def test_a_run_whose_worker_is_gone_ends_after_a_few_looks(launched, answers):
    launcher, run = launched(Celery(answers=answers))
    assert looks(launcher, run, MISSES) == [WorkerStatus.RUNNING] * (MISSES - 1) + [WorkerStatus.FAILED]


def test_a_worker_that_answers_again_is_forgiven(launched):
    launcher, run = launched(celery := Celery(answers=None))
    looks(launcher, run, MISSES - 1)
    celery.answers = HAS
    looks(launcher, run, 1)
    celery.answers = None
    assert WorkerStatus.FAILED not in looks(launcher, run, MISSES - 1)


def test_a_process_that_was_killed_under_its_worker_ends_the_run_at_once(launched):
    launcher, run = launched(Celery("FAILURE", info=RuntimeError("signal 9")))
    result = launcher.check_run_worker_health(run)
    assert result.status == WorkerStatus.FAILED
    assert "signal 9" in result.msg


def test_a_worker_that_is_done_while_the_run_is_not_ends_the_run(launched):
    """It could not reach the database to say how the run ended."""
    launcher, run = launched(Celery("SUCCESS", info=1))
    assert looks(launcher, run, MISSES)[-1] == WorkerStatus.FAILED


def test_a_record_that_redis_lost_is_no_end_where_a_worker_has_the_run(launched):
    launcher, run = launched(celery := Celery("PENDING", info=None, answers=HAS))
    celery.info = None
    assert set(looks(launcher, run, 5)) == {WorkerStatus.RUNNING}
    assert celery.asked[0] is None


def test_a_run_whose_task_was_never_noted_is_asked_for_by_its_own_id(launched):
    launcher, run = launched(celery := Celery(), **{TASK: ""})
    run = run.with_tags({})
    celery.answers = {"cpu-2@here": [{"id": "task", "kwargs": {"packed": {"run_id": run.run_id}}}]}
    assert set(looks(launcher, run, 5)) == {WorkerStatus.RUNNING}
    celery.answers = {"cpu-2@here": []}
    assert looks(launcher, run, MISSES)[-1] == WorkerStatus.FAILED


def test_a_run_of_a_command_is_no_worker_s(launched, instance):
    launcher, _ = launched(Celery(answers=HAS_OTHERS))
    run = create_run_for_test(instance, status=STARTED, tags=process_tag())
    assert set(looks(launcher, run, MISSES + 1)) == {WorkerStatus.RUNNING}


def test_a_run_that_is_stopped_on_purpose_is_not_tried_again(launched, instance):
    launcher, run = launched(celery := Celery())
    assert launcher.terminate(run.run_id)
    stopped = instance.get_run_by_id(run.run_id)
    assert celery.revoked == [("task", True)]
    assert stopped.status == CANCELING
    assert stopped.tags["dagster/max_retries"] == "0"


def test_what_has_ended_cannot_be_stopped(launched):
    launcher, run = launched(celery := Celery(), status=dg.DagsterRunStatus.SUCCESS)
    assert not launcher.terminate(run.run_id)
    assert not launcher.terminate("00000000-0000-0000-0000-000000000000")
    assert not celery.revoked
