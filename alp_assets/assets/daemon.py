"""What ALP adds to Dagster's daemon: it starts itself anew when the clock was set back under it."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from dagster._core.scheduler.scheduler import DagsterDaemonScheduler
from dagster._serdes import ConfigurableClassData

BACK_S = 60.0
"""A clock that was set back by less is left alone: nothing waits for longer than that."""

_LOOK_S = 2.0


class RestartingScheduler(DagsterDaemonScheduler):
    """Dagster's own scheduler, which a daemon makes before its loops begin.

    The pauses of these loops (queue, run monitoring, sensors) are measured by the time of day: after the clock was
    set back they last until it has caught up. So this one looks at the clock too, where it belongs to a daemon,
    and starts the process anew: same process id, arguments, environment. That is no more to Dagster than a daemon
    that was killed, yet nobody who started it need look after it. ``dagster.yaml`` names this as ``scheduler``.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As Dagster's; called in every process that opens the instance, of which only a daemon has loops."""
        if in_daemon():
            _watch_clock()
        return cls(inst_data=inst_data, **config_value)


def in_daemon() -> bool:
    """Whether this process is ``dagster-daemon run``, also as `dagster dev` starts it."""
    program = Path(sys.argv[0])
    named = program.parent.name if program.name == "__main__.py" else program.name
    return named in ("dagster-daemon", "_daemon") and "run" in sys.argv[1:2]


def wait_until_set_back(ahead_s: float, pause: Callable[[float], object] = time.sleep) -> float:
    """Wait until the clock is set back by more than ``BACK_S`` between two looks; by how many seconds it was.

    What tells is the clock that is never set, `time.monotonic`: ``ahead_s`` is how far the time of day was
    ``ahead`` of it at first. A machine that slept is further ahead, not back.
    """
    while True:
        pause(_LOOK_S)
        now_s = ahead()
        if ahead_s - now_s > BACK_S:
            return ahead_s - now_s
        ahead_s = now_s


def ahead() -> float:
    """By how many seconds the time of day is ahead of the clock that is never set."""
    return time.time() - time.monotonic()


def start_anew_when_set_back(ahead_s: float) -> None:
    """Become the same program once more, as soon as ``wait_until_set_back`` returns."""
    log = logging.getLogger("dagster.daemon")
    by_s = wait_until_set_back(ahead_s)
    log.warning("The clock was set back by %.0f s: the daemon starts anew.", by_s)
    while True:
        # a code server of its own ends without it, but counts from the last beat, which must be of the new time
        time.sleep(_LOOK_S)
        try:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - its own command line
        except OSError as error:
            log.error("The daemon could not start anew (%s). It is tried again until it can.", error)


@functools.cache
def _watch_clock() -> None:
    threading.Thread(target=start_anew_when_set_back, args=(ahead(),), name="clock", daemon=True).start()
