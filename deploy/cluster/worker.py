"""The Celery application of a worker: ``celery -A deploy.cluster.worker worker -Q cpu``.

A worker works one package at a time, in a child process that stays warm from package to package. Its parent
answers questions while the child is busy, and starts another child when one dies or has grown.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
from typing import Any

from celery.signals import worker_process_init  # type: ignore[import-untyped]
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from alp_assets.errors import AlpError

MEMORY = "ALP_RUN_MEMORY_BYTES"
"""Environment variable: a run that takes more memory fails, and the others go on. Unset or 0: no limit."""

GROWN_KB = 3 * 2**20
"""A child that has kept more memory than this after a package makes room for a fresh one."""


def _broker() -> str:
    try:
        return os.environ["ALP_BROKER_URL"]
    except KeyError:
        raise AlpError(
            "ALP_BROKER_URL is not set: name the Redis that hands out the runs, redis://:password@host:6379/0."
        ) from None


app = make_app(  # type: ignore[no-untyped-call]
    {
        "broker": _broker(),
        "backend": _broker(),
        "task_default_queue": "cpu",
        "config_source": {
            "broker_connection_retry_on_startup": True,
            "result_expires": 7 * 24 * 3600,
            "task_track_started": True,
            "task_acks_late": False,  # a run that crashed is tried again by Dagster, not by Celery
            "worker_prefetch_multiplier": 1,
            "worker_disable_prefetch": True,  # a run that waits behind a long one is another worker's
            "worker_max_memory_per_child": GROWN_KB,
            "worker_hijack_root_logger": False,
        },
    }
)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)

importlib.import_module("alp_assets.definitions")  # once, before the children are made


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _ready_for_runs(**_: Any) -> None:
    """Let stages start processes of their own, and keep a run that wants all memory from taking it."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    if most := int(os.environ.get(MEMORY) or 0):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
