"""What the doctor says of Dagster's daemon after the clock was set back."""

import time

import dagster as dg
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat

from alp_assets.home import INSTANCE_CONFIG
from alp_assets.watch.doctor import daemon as doctor
from alp_assets.watch.doctor.visit import visit

DAYS_S = 86_400.0


@pytest.fixture(params=["files of its own", "another storage"])
def root(request, tmp_path, monkeypatch):
    """A data root whose instance keeps its runs in one of the two ways of reading them."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = tmp_path / "dagster"
    home.mkdir()
    settings = yaml.safe_load(INSTANCE_CONFIG.read_text())
    if request.param == "another storage":
        settings["storage"] = {"sqlite": {"base_dir": str(tmp_path / "elsewhere")}}
    (home / "dagster.yaml").write_text(yaml.dump(settings))
    return tmp_path


def beat(root, *times):
    with dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
        for number, at in enumerate(times):
            instance.add_daemon_heartbeat(DaemonHeartbeat(at, f"DAEMON_{number}", "one", []))


def test_a_daemon_that_ran_when_the_clock_was_set_back_is_a_problem_with_its_fix(root):
    now = time.time()
    beat(root, now - 5, now + 2 * DAYS_S)
    (found,) = doctor.daemon(root)
    assert found.state == "problem"
    assert "would wait 48.0 hours" in found.found
    assert found.fix.startswith("Its daemon starts itself anew")
    assert found in visit(root)


def test_where_the_daemon_does_not_look_at_the_clock_it_has_to_be_restarted(root):
    settings = yaml.safe_load((root / "dagster" / "dagster.yaml").read_text())
    del settings["scheduler"]
    (root / "dagster" / "dagster.yaml").write_text(yaml.dump(settings))
    beat(root, time.time() + 2 * DAYS_S)
    (found,) = doctor.daemon(root)
    assert found.fix.startswith("Restart Dagster")
    assert "scheduler" in found.fix


def test_a_daemon_that_was_started_since_is_none(root):
    beat(root, time.time())
    assert not list(doctor.daemon(root))


def test_nothing_is_said_or_made_where_there_was_no_daemon(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert not list(doctor.daemon(tmp_path))
    assert not list(tmp_path.iterdir())
