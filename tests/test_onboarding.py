"""Onboarding from the command line after a command was killed."""

import os
import signal
import sqlite3
import subprocess
import sys

import dagster as dg
import pytest

from alp_assets.errors import DiskRefused
from alp_assets.home import dagster_home
from alp_assets.onboarding import onboard
from alp_assets.stages.package import PackageFolder
from tests.packages import machine_package

KILLED = """
import os, signal, sys
import alp_assets.versions.snapshot as snapshots
snapshots.snapshot = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from alp_assets.cli import main
main()
"""


@pytest.mark.slow
def test_a_command_killed_in_its_snapshot_does_not_block_the_next(tmp_path):
    archive = machine_package(tmp_path / "first.zip", train=2, normal=1, anomaly=0)
    command = [
        "onboard",
        str(archive),
        "-c",
        "acme",
        "--data",
        str(tmp_path / "data"),
        "--set",
        "quality.data_docs=no",
    ]
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("DAGSTER_HOME", None)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *command], env=environment, capture_output=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    again = subprocess.run(
        [sys.executable, "-m", "alp_assets", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0, again.stderr
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path / "data"))) as instance:
        statuses = sorted(run.status.value for run in instance.get_runs())
    assert statuses == ["FAILURE", "SUCCESS"]


def test_a_disk_that_is_too_full_for_dagster_is_told_in_words(tmp_path, monkeypatch):
    def full(_):
        raise sqlite3.OperationalError("database or disk is full")

    room = os.statvfs(tmp_path)
    monkeypatch.setattr("alp_assets.assets.instance.open_instance", full)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*room[:4], 0, *room[5:])))
    with pytest.raises(
        DiskRefused, match=r"the disk is full, so that the run of acme__first could not be finished"
    ):
        onboard(PackageFolder(tmp_path, "acme", "first"), tmp_path / "first.zip", {}, print, print)
