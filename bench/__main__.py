"""Run the benches, or those that are named: ``python -m bench motors arrival``.

Each gets a process of its own, so that what one has imported does not make the next look faster or bigger.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHES = (
    "motors",
    "arrival",
    "onboarding",
    "coreset",
    "thresholds",
    "encoders",
    "shards",
    "banks",
    "engines",
    "synth",
    "pretraining",
    "time_moe",
    "signals",
    "serving",
    "cluster",
    "share",
    "slopes",
)


def main() -> int:
    """Run them one after the other; the exit code is 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; default all")
    names = parser.parse_args().names or BENCHES
    if unknown := sorted(set(names) - set(BENCHES)):
        parser.error(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    codes = [subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode for name in names]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
