"""Log lines as JSON."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from alp_assets.watch import logs


@pytest.fixture
def lines():
    stream = io.StringIO()
    logger = logging.Logger("alp.test")
    logger.addHandler(logs.handler(stream))
    return logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_tells_package_section_and_more(lines):
    logger, told = lines
    with logs.logging_about(package="acme__first", stage="models"):
        logger.info("fitted %d", 3, extra={"section": "acme/fan/00", "fields": {"seconds": 1.5}})
    logger.info("after")
    first, after = told()
    assert first["message"] == "fitted 3"
    assert (first["package"], first["stage"], first["section"]) == ("acme__first", "models", "acme/fan/00")
    assert first["seconds"] == 1.5
    assert first["level"] == "info"
    assert "package" not in after


def test_a_trace_stays_on_one_line_and_secrets_out_of_it(lines):
    logger, told = lines
    try:
        raise ValueError("postgresql://alp:hunter2@db/alp\nsecond line")
    except ValueError:
        logger.exception("at https://hook.example/?token=hunter2", extra={"fields": {"url": "x://a:hunter2@b"}})
    (line,) = told()
    assert line["error"] == "ValueError"
    assert "second line" in line["trace"]
    assert "hunter2" not in json.dumps(line)


def test_a_message_that_does_not_fit_its_arguments_is_still_a_line(lines):
    logger, told = lines
    logger.info("%d clips", "many")
    assert "many" in told()[0]["message"]


_RUN = """
import dagster as dg
from alp_assets.definitions import defs
packages = dg.DynamicPartitionsDefinition(name="packages")

@dg.asset(partitions_def=packages)
def quality(context):
    context.log.info("listening at x://me:hunter2@host")
    raise dg.Failure("the table is missing")

with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("packages", ["acme__first"])
    dg.materialize([quality], instance=instance, partition_key="acme__first", raise_on_error=False)
"""


def test_dagster_s_lines_carry_package_stage_and_run(tmp_path):
    environment = {**os.environ, "ALP_LOG": "json", "ALP_DATA": str(tmp_path)}
    command = [sys.executable, "-c", _RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "hunter2" not in done.stderr
    found = [json.loads(line) for line in done.stderr.splitlines()]
    said = next(line for line in found if line["message"].startswith("listening"))
    assert (said["package"], said["stage"]) == ("acme__first", "quality")
    assert said["run_id"]
    failed = next(line for line in found if line.get("event") == "STEP_FAILURE")
    assert failed["error"] == "the table is missing"


@pytest.mark.parametrize(("chosen", "as_json"), [("json", True), ("", False)])
def test_the_command_s_errors_are_lines_where_that_is_asked_for(tmp_path, chosen, as_json):
    environment = {**os.environ, "ALP_LOG": chosen, "ALP_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "alp_assets", "stage", "nonsense", "acme/first"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    if as_json:
        assert "nonsense" in json.loads(done.stderr.splitlines()[-1])["message"]
    else:
        assert done.stderr.startswith("Error:")
