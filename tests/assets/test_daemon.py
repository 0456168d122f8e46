"""A daemon that starts itself anew when the clock was set back under it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from alp_assets.assets import daemon
from alp_assets.assets.daemon import BACK_S, ahead, in_daemon, wait_until_set_back
from alp_assets.params import PROJECT

PROGRAM = """\
import os, sys, time
from pathlib import Path

import dagster as dg

home = Path({home!r})
with (home / "lives").open("a") as lives:
    print(os.getpid(), *sys.argv[1:], os.environ["MARK"], file=lives)
if len((home / "lives").read_text().splitlines()) == 2:
    sys.exit(7)
with dg.DagsterInstance.from_config(str(home)):
    real = time.time
    time.time = lambda: real() - 172_800
    time.sleep({seconds})
"""


def settings() -> dict[str, object]:
    return {"scheduler": yaml.safe_load((PROJECT / "deploy" / "dagster.yaml").read_text())["scheduler"]}


def run(folder: Path, program: Path, *command: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """A program that opens an instance, after which its clock is two days back for so many seconds."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings() | {"telemetry": {"enabled": False}}))
    program.parent.mkdir(exist_ok=True)
    program.write_text(PROGRAM.format(home=str(folder), seconds=seconds))
    environment = {"MARK": "kept", "PYTHONPATH": str(PROJECT), "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_a_daemon_starts_itself_anew_as_the_same_process(tmp_path):
    module = tmp_path / "_daemon" / "__main__.py"
    ended = run(tmp_path, module, "-X", "utf8", "-m", "_daemon", "run", "-w", "a workspace")
    first, second = (tmp_path / "lives").read_text().splitlines()
    assert first == second
    assert first.endswith(" run -w a workspace kept")
    assert ended.returncode == 7, ended.stderr
    assert "The clock was set back by 172800 s" in ended.stderr


@pytest.mark.slow
def test_what_is_no_daemon_is_left_alone(tmp_path):
    program = tmp_path / "dagster-webserver"
    ended = run(tmp_path, program, str(program), "run", seconds=6)
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "lives").read_text().splitlines()) == 1


def test_one_that_cannot_start_anew_says_so_and_tries_again(monkeypatch, caplog):
    tries = []

    def execv(program, words):
        tries.append(words)
        raise OSError("no memory") if len(tries) == 1 else SystemExit  # the second one ends what this process was

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(daemon, "wait_until_set_back", lambda ahead_s: 3600.0)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit):
        daemon.start_anew_when_set_back(0.0)
    assert tries[0] == tries[1] == [sys.executable, *sys.orig_argv[1:]]
    assert "no memory" in caplog.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/venv/bin/dagster-daemon", "run", "-w", "workspace.yaml"], True),
        (["/venv/lib/dagster/_daemon/__main__.py", "run", "--log-level", "info"], True),
        (["/venv/bin/dagster-daemon", "liveness-check"], False),
        (["/venv/bin/dagster", "dev", "-w", "workspace.yaml"], False),
        (["/venv/lib/dagster_webserver/__main__.py", "run"], False),
        (["/venv/bin/alp", "run"], False),
        ([""], False),
    ],
)
def test_only_the_daemon_is_one(monkeypatch, words, expected):
    monkeypatch.setattr(sys, "argv", words)
    assert in_daemon() is expected


class Clock:
    """The two clocks of a machine, which `wait_until_set_back` looks at between pauses."""

    def __init__(self, monkeypatch, steps):
        self.steps, self.day, self.steady = iter(steps), 1e9, 50.0
        monkeypatch.setattr(time, "time", lambda: self.day)
        monkeypatch.setattr(time, "monotonic", lambda: self.steady)

    def pause(self, seconds):
        self.steady += seconds
        self.day += seconds + next(self.steps)


def test_a_set_back_clock_is_noticed_at_the_next_look(monkeypatch):
    clock = Clock(monkeypatch, [0, 0, -3600])
    assert wait_until_set_back(ahead(), clock.pause) == pytest.approx(3600)


def test_small_steps_and_steps_forward_are_not_taken_for_it(monkeypatch):
    clock = Clock(monkeypatch, [-BACK_S / 2] * 5 + [172_800, 0.5, -BACK_S * 2])
    assert wait_until_set_back(ahead(), clock.pause) == pytest.approx(BACK_S * 2)
    assert next(clock.steps, None) is None


def test_the_instance_is_opened_without_looking_at_the_clock(tmp_path):
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings()))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.scheduler).__name__ == "RestartingScheduler"
    assert "clock" not in {thread.name for thread in threading.enumerate()}
