"""The sensor that ends runs whose process is gone, and wakes sensors after the clock was set back."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.sensor import is_under_min_interval

from alp_assets.assets.processes import end_killed_runs, in_process_executor, process_tag
from alp_assets.home import INSTANCE_CONFIG
from sensors.upkeep import upkeep

DAYS_S = 86_400.0
NO_PID = 2**22 + 1
"""More than Linux gives to any process."""

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
LAUNCHED = {".dagster/grpc_info": "{}"}


@dg.op
def look_and_die(context):
    """End as a machine without power does, once the run is seen to go on."""
    assert context.instance.get_run_by_id(context.run_id).status is STARTED
    os.kill(os.getpid(), signal.SIGKILL)


@dg.op
def say_who(context):
    context.log.info(context.instance.get_run_by_id(context.run_id).tags.get("alp/process", "nobody"))


@dg.job(executor_def=in_process_executor)
def dying():
    look_and_die()


@dg.job(executor_def=in_process_executor)
def telling():
    say_who()


DIES = """
import sys
import dagster as dg
from tests.sensors.test_upkeep import LAUNCHED, dying
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    dg.execute_job(dg.reconstructable(dying), instance=instance, tags=LAUNCHED)
"""


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def on_disk(tmp_path):
    """Dagster's instance with the policy that one machine has."""
    shutil.copy(INSTANCE_CONFIG, tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def started(instance, tags, **more):
    return create_run_for_test(instance, job_name="onboard", status=STARTED, tags=tags, **more)


def tag(run_id="", **other):
    """The tag of this process with something else in it."""
    names = ("host", "pid", "began", "booted", "of")
    own = dict(zip(names, process_tag(run_id)["alp/process"].split(":"), strict=True))
    assert other.keys() <= own.keys()
    return {"alp/process": ":".join({**own, **{name: str(value) for name, value in other.items()}}.values())}


def status(instance, run):
    return instance.get_run_by_id(run.run_id).status


def test_a_run_that_died_with_all_who_looked_after_it_fails_and_will_be_tried_again(on_disk, tmp_path):
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", DIES, str(tmp_path)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (run,) = on_disk.get_runs()
    assert run.status is STARTED
    assert end_killed_runs(on_disk) == [run.run_id]
    ended = on_disk.get_run_by_id(run.run_id)
    assert ended.status is FAILURE
    assert ended.tags["dagster/will_retry"] == "true"
    events = on_disk.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert [entry.dagster_event.message for entry in events] == [
        "The process of the run was killed, or its machine went down, before it ended."
    ]
    assert end_killed_runs(on_disk) == []


def test_what_the_code_server_starts_says_which_process_works_on_it(on_disk):
    runs = [dg.execute_job(dg.reconstructable(telling), instance=on_disk, tags=tags) for tags in (LAUNCHED, {})]
    ours, other = (on_disk.get_run_by_id(run.run_id).tags for run in runs)
    assert ours["alp/process"] == process_tag(runs[0].run_id)["alp/process"]
    assert "alp/process" not in other


def test_a_run_whose_process_lives_goes_on(instance):
    run = started(instance, tag())
    assert end_killed_runs(instance) == []
    assert status(instance, run) is STARTED


@pytest.mark.parametrize("other", [{"began": 1}, {"booted": "before"}, {"pid": NO_PID}], ids=str)
def test_another_process_of_the_same_number_is_not_the_run_s(instance, other):
    run = started(instance, tag(**other))
    assert end_killed_runs(instance) == [run.run_id]


@pytest.mark.parametrize(
    "tags", [tag(host="elsewhere", began=1), {}, {"alp/process": f"{socket.gethostname()}:1"}]
)
def test_runs_of_other_machines_and_launchers_are_left_alone(instance, tags):
    run = started(instance, tags)
    assert end_killed_runs(instance) == []
    assert status(instance, run) is STARTED


def test_a_second_try_is_not_judged_by_the_process_of_the_first(instance):
    """It inherits the tags, and is started before it can say who works on it."""
    first = started(instance, {})
    instance.add_run_tags(first.run_id, tag(first.run_id, began=1))
    second = started(instance, instance.get_run_by_id(first.run_id).tags)
    assert end_killed_runs(instance) == [first.run_id]
    assert status(instance, second) is STARTED


@pytest.mark.parametrize(
    "tags",
    [LAUNCHED, {}, LAUNCHED | tag("another run"), tag("another run")],
    ids=["launched", "no tag", "launched, of another run", "of another run"],
)
@pytest.mark.parametrize("pid", [os.getpid(), NO_PID], ids=["alive", "gone"])
def test_a_run_that_died_before_it_could_say_who_works_on_it_goes_by_what_dagster_noted(instance, pid, tags):
    """It notes the process of runs that the code server starts; a second try has the tag of the first."""
    run = started(instance, tags)
    instance.report_engine_event("Waiting for a place.", run)
    instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
    gone = pid == NO_PID and LAUNCHED.items() <= tags.items()
    assert end_killed_runs(instance) == [run.run_id] * gone


def test_a_killed_process_that_nobody_has_waited_for_is_gone(instance):
    child = subprocess.Popen(["sleep", "600"])
    began = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    run = started(instance, tag(pid=child.pid, began=began))
    assert end_killed_runs(instance) == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert end_killed_runs(instance) == [run.run_id]
    child.wait()


def test_a_process_that_the_machine_hides_is_taken_to_live(instance, monkeypatch, tmp_path):
    def not_allowed(pid, number):
        raise PermissionError(pid)

    run = started(instance, tag())
    monkeypatch.setattr("alp_assets.assets.processes._PROC", tmp_path)
    monkeypatch.setattr("alp_assets.assets.processes._booted", lambda: run.tags["alp/process"].split(":")[3])
    monkeypatch.setattr(os, "kill", not_allowed)
    assert end_killed_runs(instance) == []


def test_a_run_that_tells_its_end_meanwhile_is_not_failed(instance, monkeypatch):
    run = started(instance, tag(began=1))
    found = instance.get_runs()
    instance.report_run_canceled(run)
    monkeypatch.setattr(instance, "get_runs", lambda _filter: found)
    assert end_killed_runs(instance) == []
    assert status(instance, run) is dg.DagsterRunStatus.CANCELED


def state_of(name, last):
    """What Dagster remembers of a sensor that looked at some time."""
    location = RegisteredCodeLocationOrigin("alp")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    data = SensorInstigatorData(
        min_interval=30, cursor=f"of {name}", last_tick_start_timestamp=last, last_tick_timestamp=last
    )
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)


def looked(instance):
    return upkeep(dg.build_sensor_context(instance=instance)).skip_message


def test_a_look_ends_killed_runs_and_wakes_sensors_that_looked_in_the_future(on_disk):
    run = started(on_disk, tag(began=1))
    now = time.time()
    ahead, usual = state_of("uploads", now + 2 * DAYS_S), state_of("freshness", now - 5)
    for state in (ahead, usual):
        on_disk.add_instigator_state(state)
    assert looked(on_disk) == "1 killed runs ended, 1 sensors woken."
    assert status(on_disk, run) is FAILURE
    found, other = (
        on_disk.get_instigator_state(state.instigator_origin_id, state.selector_id) for state in (ahead, usual)
    )
    assert not is_under_min_interval(found, SimpleNamespace(min_interval_seconds=30))
    assert found.instigator_data.cursor == "of uploads"
    assert other == usual
    assert looked(on_disk) == "0 killed runs ended, 0 sensors woken."


@pytest.mark.parametrize("days", [-1, 0, 2, 5000])
def test_dagster_looks_at_this_sensor_whatever_the_clock_says(days):
    state = state_of("upkeep", time.time() + days * DAYS_S)
    assert not is_under_min_interval(state, SimpleNamespace(min_interval_seconds=upkeep.minimum_interval_seconds))
