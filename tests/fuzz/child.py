"""The process in which fuzzing happens. Its parent sees where it is, and ends it where it hangs.

``python -m tests.fuzz.child TARGET SEED FOLDER SECONDS BYTES``: spoilt files one after the other until the seconds
are over. The file at work lies in ``FOLDER/input``, its number in ``FOLDER/state``. What goes wrong is written
to ``FOLDER/found`` as a line of JSON, once for each place in the code.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import resource
import shutil
import struct
import sys
import time
import traceback
import warnings
from pathlib import Path

from tests.fuzz.mutate import Mutator
from tests.fuzz.readers import harmless, reader
from tests.fuzz.seeds import seeds
from tests.fuzz.watch import Watch

STATE = struct.Struct("<Qd")
"""Number of the file at work, and since when (monotonic seconds)."""


def main(target: str, seed: str, folder: Path, seconds: float, memory: int) -> None:
    """Fuzz one target."""
    warnings.simplefilter("ignore")
    scratch = folder / "scratch"
    watch = Watch(scratch)
    mutator = Mutator(target, seeds(target), random.Random(f"{target} {seed}"))
    run = reader(target)
    for data in seeds(target):  # so that everything is imported before the watch begins
        _once(run, data, scratch)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = memory + _allocated()
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    known: set[str] = set()
    until = time.monotonic() + seconds
    with (folder / "state").open("r+b") as stream, mmap.mmap(stream.fileno(), STATE.size) as state:
        number = 0
        while time.monotonic() < until:
            data = mutator.one()
            (folder / "input").write_bytes(data)
            number += 1
            STATE.pack_into(state, 0, number, time.monotonic())
            error = _once(run, data, scratch, watch)
            if error is not None or watch.seen:
                _tell(folder / "found", data, error, watch.seen, known)
            if isinstance(error, MemoryError):
                break  # what is left of the memory may be in pieces
        STATE.pack_into(state, 0, number, 0.0)


def _allocated() -> int:
    """Bytes of data that the process has, most of them reserved by libraries and never touched."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _once(run, data: bytes, scratch: Path, watch: Watch | None = None) -> BaseException | None:
    """What went wrong, with an empty folder to write to."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(scratch):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else Path(entry).unlink()
    scratch.mkdir(exist_ok=True)
    try:
        with watch or contextlib.nullcontext():
            run(data, scratch)
    except MemoryError:
        return MemoryError("more memory than the limit")
    except Exception as error:
        return None if harmless(error) else error
    return None


def _tell(path: Path, data: bytes, error: BaseException | None, seen: list[str], known: set[str]) -> None:
    """Write a finding down, if none was there of the same place."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    place = f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else repr(error or seen)
    own = next((f"{f.filename}:{f.lineno}" for f in reversed(frames) if "alp_assets" in f.filename), "")
    key = f"{own} {place}"
    if key in known:
        return
    known.add(key)
    told = "".join(traceback.format_exception(error))[-3_000:] if error else ""
    with path.open("a") as stream:
        stream.write(json.dumps({"place": key, "seen": seen[:5], "error": told, "input": data.hex()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
