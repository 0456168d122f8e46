"""Fuzz the readers of customers' files: ``python -m tools.fuzz --minutes 10 --target all``.

Spoilt archives, tables, sounds and signals go through the readers in child processes with a limit of memory.
Branches that the readers had not taken before lead on (libFuzzer through atheris, which Linux on x86-64 has). A
crash, an error that is none of ALP's, a file that takes longer than ten seconds and anything that is written
outside one scratch folder is a finding: it is printed, and its file kept in ``tests/fuzz/corpus``, where the test
suite replays it. Exit code 1 with findings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.child import STATE
from tests.fuzz.readers import TARGETS

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "corpus"
HANG_S = 10.0
MEMORY = 1 << 30

_OWN = ("scratch", "seeds", "input", "state", "found", "log")
_SAVED = ("crash-", "oom-", "slow-unit-", "timeout-", "leak-")
"""What libFuzzer calls the files that it saves itself."""

_LARGEST_KEPT = 16 << 10
_POLL_S = 0.2
_STARTING_S = 120.0
_MOST_PATIENT = 12


@dataclass
class Outcome:
    """What came of fuzzing one target."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    findings: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, text: str, data: bytes) -> None:
        """A finding, once for each place; the shortest file is kept."""
        if key not in self.findings or len(data) < len(self.findings[key]):
            self.findings[key], self.texts[key] = data, text


def fuzz(target: str, minutes: float, seed: str) -> Outcome:
    """Fuzz one target for so long, in one child process after the other."""
    outcome, began, round_ = Outcome(target), time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="alp-fuzz-") as place:
        watched = Path(place)
        (watched / "corpus").mkdir()  # what one child has learnt, the next one knows
        while (left := 60 * minutes - (time.monotonic() - began)) > 0:
            folder = watched / str(round_)
            folder.mkdir()
            before = _listing(watched, folder)
            _round(outcome, zlib.crc32(f"{seed} {round_}".encode()), folder, left)
            if (after := _listing(watched, folder)) != before:
                outcome.add(f"outside {after ^ before}", "something was written beside the scratch folder", b"")
            shutil.rmtree(folder)
            round_ += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def _listing(watched: Path, folder: Path) -> frozenset[str]:
    """All that lies beside a child's folder, in its working directory and in the places of temporary files."""
    ours = (folder, watched / "corpus")
    beside = (path for path in watched.rglob("*") if not any(path.is_relative_to(place) for place in ours))
    own = (path for path in folder.iterdir() if path.name not in _OWN and not path.name.startswith(_SAVED))
    return frozenset(str(path) for path in (*beside, *own))


def _round(outcome: Outcome, seed: int, folder: Path, seconds: float) -> None:
    """One child, until its time is over, it hangs or it dies."""
    state, log = folder / "state", folder / "log"
    state.write_bytes(bytes(STATE.size))
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.child", outcome.target, str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "scratch")}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, str(folder), str(folder.parent / "corpus"), str(seconds), str(MEMORY)],
            stdout=output,
            stderr=output,
            env=environment,
        )
    hung = _watched(child, state)
    (number,) = STATE.unpack(state.read_bytes())
    outcome.executions += number
    if child.returncode or hung:
        data = (folder / "input").read_bytes() if number else b""
        text = log.read_text(errors="replace")[-3_000:]
        key = "hang" if hung else f"died with {child.returncode}"
        outcome.add(f"{key} {hashlib.sha256(data).hexdigest()[:8] if hung else text[-300:]}", text, data)
    if (folder / "found").is_file():
        for line in (folder / "found").read_text().splitlines():
            found = json.loads(line)
            outcome.add(found["place"], found["error"] + "\n".join(found["seen"]), bytes.fromhex(found["input"]))


def _watched(child: subprocess.Popen[bytes], state: Path) -> bool:
    """Wait for a child, and end it where it hangs: by the processor's time, for others may be at work too."""
    before, began, used = -1, time.monotonic(), 0.0
    while child.poll() is None:
        time.sleep(_POLL_S)
        (number,) = STATE.unpack(state.read_bytes())
        if number != before:
            before, began, used = number, time.monotonic(), _processor_s(child.pid)
        limit = HANG_S if number else _STARTING_S
        if _processor_s(child.pid) - used > limit or time.monotonic() - began > _MOST_PATIENT * limit:
            child.kill()
            child.wait()
            return True
    return False


def _processor_s(pid: int) -> float:
    """Seconds of the processor that a process has had; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _keep(outcome: Outcome) -> None:
    """Write what was found to the corpus, as far as it is small."""
    for key, data in outcome.findings.items():
        name = f"{outcome.target}-{hashlib.sha256(data).hexdigest()[:12]}"
        kept = 0 < len(data) <= _LARGEST_KEPT
        place = CORPUS / name if kept else Path(tempfile.gettempdir()) / f"alp-fuzz-{name}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
        print(f"\n--- {outcome.target}: {key}\n{outcome.texts[key]}\nfile: {place} ({len(data)} bytes)")


def main() -> int:
    """Fuzz and tell what came of it."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (default 10)")
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seed", default=str(int(time.time())), help="of the random numbers")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    if find_spec("atheris") is None:
        parser.error("atheris is not installed; Linux on x86-64 alone has it.")
    targets = TARGETS if asked.target == "all" else (asked.target,)
    outcomes = []
    for target in targets:
        outcome = fuzz(target, asked.minutes, asked.seed)
        outcomes.append(outcome)
        _keep(outcome)
        rate = outcome.executions / outcome.seconds
        print(
            f"{target:8} {outcome.executions:9,} files in {outcome.seconds / 60:.1f} min ({rate:,.0f} a second), "
            f"{len(outcome.findings)} findings; seed {asked.seed}",
            flush=True,
        )
    if asked.json:
        figures = [
            {
                "target": o.target,
                "files": o.executions,
                "seconds": round(o.seconds, 1),
                "findings": len(o.findings),
            }
            for o in outcomes
        ]
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(outcome.findings for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
