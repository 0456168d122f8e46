"""The process in which fuzzing happens. Its parent sees where it is, and ends it where it hangs.

``python -m tests.fuzz.child TARGET SEED FOLDER CORPUS SECONDS BYTES``: spoilt files one after the other until the
seconds are over. Which files are spoilt further is up to libFuzzer: those with which a reader went where it had
not been before; it keeps them in ``CORPUS``. The file at work lies in ``FOLDER/input``, its number in
``FOLDER/state``. What goes wrong is written to ``FOLDER/found`` as lines of JSON, once for each place in the code.
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
import traceback
import warnings
from pathlib import Path

from tests.fuzz.mutate import LONGEST, Mutator
from tests.fuzz.readers import harmless, reader
from tests.fuzz.seeds import seeds
from tests.fuzz.watch import Watch

STATE = struct.Struct("<Q")
"""Number of the file at work."""

_READERS = ["alp_assets.audio", "alp_assets.intake", "alp_assets.signals", "schemas"]
"""Where libFuzzer sees which branches are taken."""

_OWN_SHARE = 0.5
"""Of the files are spoilt by somebody who knows the formats, the others by libFuzzer."""


def main(target: str, seed: int, folder: Path, corpus: Path, seconds: float, memory: int) -> None:
    """Fuzz one target. It ends the process."""
    import atheris

    warnings.simplefilter("ignore")
    scratch = folder / "scratch"
    watch = Watch(scratch)
    known: set[str] = set()
    (folder / "seeds").mkdir()
    with atheris.instrument_imports(include=_READERS):
        run = reader(target)
        for number, data in enumerate(seeds(target)):  # so that everything is imported before the watch begins
            _once(run, data, scratch)
            (folder / "seeds" / str(number)).write_bytes(data)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    full = memory + _allocated()

    state = _shared(folder / "state")

    def tried(data: bytes) -> None:
        # each file has the limit for itself: what lies between the fuzzer's own notes is not given back
        if (before := _allocated()) > full:
            os._exit(0)
        resource.setrlimit(resource.RLIMIT_DATA, (before + memory, resource.RLIM_INFINITY))
        (folder / "input").write_bytes(data)
        STATE.pack_into(state, 0, STATE.unpack(state)[0] + 1)
        error = _once(run, data, scratch, watch)
        if error is not None or watch.seen:
            _tell(folder / "found", data, error, watch.seen, known)
        if isinstance(error, MemoryError):
            os._exit(0)  # what is left of the memory may be in pieces

    def spoilt(data: bytes, most_bytes: int, chosen: int) -> bytes:
        chance = random.Random(chosen)
        if chance.random() > _OWN_SHARE:
            return atheris.Mutate(data, most_bytes)
        return Mutator(target, seeds(target), chance).spoilt(data)[:most_bytes]

    settings = {
        "seed": seed,
        "max_total_time": max(1, int(seconds)),
        "max_len": LONGEST,
        "len_control": 0,
        "timeout": 3600,  # the parent ends what hangs, by the time of the processor
        "rss_limit_mb": 0,
        "detect_leaks": 0,
        "artifact_prefix": f"{folder}/",
    }
    options = [f"-{name}={value}" for name, value in settings.items()]
    atheris.Setup([target, *options, str(corpus), str(folder / "seeds")], tried, custom_mutator=spoilt)
    atheris.Fuzz()


def _shared(path: Path) -> mmap.mmap:
    """Memory in which the parent sees which file is at work."""
    with path.open("r+b") as stream:
        return mmap.mmap(stream.fileno(), STATE.size)


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
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
