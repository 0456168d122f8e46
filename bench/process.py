"""Measuring a command from outside: wall and processor seconds, and its peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outside:
    """When a process began (seconds since the epoch), and what it took."""

    began: float
    wall_s: float
    processor_s: float
    peak_gb: float


def measured(command: Sequence[str]) -> Outside:
    """Run a command in an environment that names no Dagster instance and no parameters.

    Memory is the peak of the command or of a process that it waited for, whichever is more, in 10^9 bytes.

    Raises:
        RuntimeError: the command failed; its output is in the text.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "ALP_PARAMS")}
    with tempfile.TemporaryFile() as output:
        began, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=kept)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - clock
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{text}")
    return Outside(began, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)
