"""Work for worker processes, as their tests need it."""

from __future__ import annotations

import os
import signal
import time


def answer(argument, state):
    """Do what the argument says; the process's number tells whether it is still the same."""
    state["count"] = state.get("count", 0) + 1
    if argument == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "hang":
        time.sleep(60)
    if argument == "slow":
        time.sleep(1.0)
    if argument == "eat":
        try:
            bytearray(4 << 30)
        except MemoryError:
            return b"full"
    return f"{os.getpid()} {state['count']}".encode()
