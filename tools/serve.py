"""The console and Dagster together, until Ctrl-C. What is given is passed on to ``alp serve``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_GOODBYE_S = 30
_PORT = os.environ.get("DAGSTER_PORT", "3000")


def main() -> int:
    """Start both, end both; the exit code of ``alp serve``."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have started this deaf to them
        signal.signal(number, signal.default_int_handler)
    bin_ = Path(sys.executable).parent
    home = subprocess.check_output([bin_ / "alp", "home"], text=True).strip()
    dagster = subprocess.Popen(
        [bin_ / "dagster", "dev", "-w", "workspace.yaml", "-p", _PORT, "--log-level", "warning"],
        env={**os.environ, "DAGSTER_HOME": home},
    )
    serve = [bin_ / "alp", "serve", "--dev", "--dagster-url", f"http://localhost:{_PORT}", *sys.argv[1:]]
    server = subprocess.Popen(serve)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        _end(server)
        _end(dagster)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
