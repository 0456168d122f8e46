"""Which process works on a run of this machine, and an end for runs whose process is gone.

Dagster's code server looks after the runs that it started, and its daemon trusts it to. When both are killed with
a run, or the power fails, nobody is left who knows: the run would stay "started", and keep its place in the queue
and in the pools. So runs say which process works on them, and somebody looks whether it is there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

if TYPE_CHECKING:
    from dagster._core.execution.retries import RetryMode

_PLAIN = dg.in_process_executor
PROCESS_TAG = "alp/process"
_PARTS = 5
_PROC = Path("/proc")
_ENDED = "ended"
_WHY = "The process of the run was killed, or its machine went down, before it ended."


def process_tag(run_id: str = "") -> dict[str, str]:
    """The tag that says that this process works on a run: machine, process and when both began.

    ``run_id`` is whose tag it is, where that is known: a second try inherits the tags of the first.
    """
    return {
        PROCESS_TAG: ":".join((socket.gethostname(), str(os.getpid()), _began(os.getpid()), _booted(), run_id))
    }


def end_killed_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process on this machine is gone, so that they are tried again; their ids.

    Runs of other machines, and those of other launchers than the code server, are left alone.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if _is_gone(instance, run) and _still_started(instance, run.run_id):
            instance.report_run_failed(run, _WHY)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


class _Recorded(dg.Executor):
    """Another executor, whose runs say which process works on them."""

    def __init__(self, works: dg.Executor) -> None:
        self._works = works

    @property
    def retries(self) -> RetryMode:
        return self._works.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        run = plan_context.dagster_run
        if GRPC_INFO_TAG in run.tags:  # a code server started it; other launchers look after their workers
            plan_context.instance.add_run_tags(run.run_id, process_tag(run.run_id))
        return self._works.execute(plan_context, execution_plan)


def _recorded(context: dg.InitExecutorContext) -> dg.Executor:
    creation = _PLAIN.executor_creation_fn
    assert creation is not None
    return _Recorded(creation(context))


in_process_executor = dg.ExecutorDefinition(
    name=_PLAIN.name,
    config_schema=cast("Any", _PLAIN.config_schema),
    executor_creation_fn=_recorded,
    description="Works in the run's own process, and notes in the run which process that is.",
)


def _is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    told = run.tags.get(PROCESS_TAG, "").split(":")
    if len(told) == _PARTS and told[-1] in ("", run.run_id):
        host, pid, began, booted, _ = told
        return host == socket.gethostname() and (booted != _booted() or not _lives(int(pid), began))
    noted = _noted_pid(instance, run) if GRPC_INFO_TAG in run.tags else None
    return noted is not None and not _exists(noted)


def _noted_pid(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process that Dagster started for a run, which may have died before it could write the tag."""
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and (pid := event.engine_event_data.metadata.get("pid")):
            return int(str(pid.value))
    return None


def _still_started(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether nobody else, such as the run itself, has told its end since it was found."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status is dg.DagsterRunStatus.STARTED


def _lives(pid: int, began: str) -> bool:
    """Whether there is this very process, and not another one that got its number."""
    found = _began(pid)
    return found == began if found else _exists(pid)


def _exists(pid: int) -> bool:
    """Whether a process has this number; also one of another user, whom this machine may hide."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _began(pid) != _ENDED


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty where that cannot be seen."""
    try:
        state, *rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return _ENDED if state in "ZX" else rest[18]  # killed, and its parent has not asked how it ended


def _booted() -> str:
    """What tells this start of the machine from all others; empty where nothing does."""
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text()[:8]
    return ""
