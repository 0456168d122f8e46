"""Another clock for every Python process that finds this folder on its path.

It is ahead of the machine's by the seconds that the file of ``ALP_DRILL_CLOCK`` holds, until that file is gone.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

_ahead = Path(os.environ["ALP_DRILL_CLOCK"])
_time, _time_ns = time.time, time.time_ns


def _ahead_s() -> float:
    try:
        return float(_ahead.read_text())
    except OSError:
        return 0.0


def _shifted() -> float:
    asks = str(sys._getframe(1).f_globals.get("__name__"))
    # half of gRPC is written in C and asks the machine: a deadline two days away would be no deadline
    return _time() if asks.startswith("grpc.") else _time() + _ahead_s()


def _shifted_ns() -> int:
    return _time_ns() + round(_ahead_s() * 1e9)


time.time, time.time_ns = _shifted, _shifted_ns
if "dagster._daemon" in sys.orig_argv:
    import dagster._time

    dagster._time._mockable_get_current_datetime = lambda: datetime.fromtimestamp(_shifted(), UTC)
