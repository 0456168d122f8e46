"""A worker's process before its first run."""

import os
import subprocess
import sys

from alp_assets.params import PROJECT

CODE = """
import multiprocessing
from deploy.cluster.worker import app, _ready_for_runs

print(sorted(name for name in app.tasks if not name.startswith("celery.")))
multiprocessing.current_process()._config["daemon"] = True  # as Celery's are
_ready_for_runs()
child = multiprocessing.Process(target=print, args=("a child",))
child.start()
child.join()
try:
    bytearray(2**30)
except MemoryError:
    print("no more memory")
"""


def start(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALP_")}
    return subprocess.run(
        [sys.executable, "-c", CODE], cwd=PROJECT, env={**kept, **variables}, capture_output=True, text=True
    )


def test_stages_may_start_processes_and_a_run_that_wants_too_much_memory_fails_alone(tmp_path):
    done = start(ALP_BROKER_URL="redis://localhost/0", ALP_DATA=str(tmp_path), ALP_RUN_MEMORY_BYTES=str(2**30))
    assert done.stdout.splitlines() == ["['execute_job', 'resume_job']", "a child", "no more memory"], done.stderr


def test_a_worker_without_a_broker_says_what_is_missing(tmp_path):
    assert "ALP_BROKER_URL is not set: name the Redis" in start(ALP_DATA=str(tmp_path)).stderr
