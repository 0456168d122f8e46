"""The machine: what may be written where, disk, memory, decoders' sandbox, GPU, clock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alp_assets.params import Params
from alp_assets.watch.doctor.finding import Finding, collected, ok, problem, warning
from alp_assets.watch.doctor.instance import instance_file, instance_settings

_FREE_PROBLEM = 2 * 2**30
_FREE_WARNING = 20 * 2**30
_FREE_SHARE = 0.05
_MEMORY = 3 * 2**30
_FOR_RUNS = 0.8
_DAGSTERS_RUNS = 10
_RUN_MEMORY = "ALP_RUN_MEMORY_BYTES"
_CONFINE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from alp_assets.sandbox.confine import give_up_writing; print(give_up_writing())"
)
_CLOCK_S = 300.0
_RELEASED = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


def machine(data_root: Path, params: Params) -> list[Finding]:
    """Everything of this machine that ALP depends on."""
    return collected(
        {
            "write rights": lambda: _writable(data_root),
            "disk": lambda: _disk("disk", data_root),
            "disk of temporary files": lambda: _scratch(data_root),
            "memory": _memory,
            "memory of a run": lambda: _run_memory(data_root, params),
            "sandbox": _sandbox,
            "gpu": _gpu,
            "clock": lambda: _clock(data_root),
        }
    )


def _writable(data_root: Path) -> Finding:
    """Write, sync, rename and delete, as every stage does: rights alone do not tell of a read-only mount."""
    place = _existing(data_root)
    if not place.is_dir():
        return problem("data root", f"{place} is no folder", "Choose another data root with --data or ALP_DATA.")
    wanted = [data_root] + [
        data_root / name for name in ("inbox", "packages", "models", "dagster", "web", "watch")
    ]
    broken = []
    for folder in [path for path in wanted if path.is_dir()] or [place]:
        try:
            _try_writing(folder)
        except OSError as error:
            broken.append(f"{folder} ({error.strerror})")
    if broken:
        return problem(
            "write rights",
            f"cannot write: {', '.join(broken)}",
            f"Give them to the user {_user()}: `chown -R {_user()} {data_root}`; look whether the disk is mounted "
            "read-only or full.",
        )
    made = "" if data_root.is_dir() else " (it will be made)"
    return ok("write rights", f"{data_root}{made}, as {_user()}")


def _try_writing(folder: Path) -> None:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".alp-doctor.")
    moved = f"{name}.moved"
    try:
        os.write(handle, b"alp")
        os.fsync(handle)
        os.rename(name, moved)
    finally:
        os.close(handle)
        for path in (name, moved):
            Path(path).unlink(missing_ok=True)


def _scratch(data_root: Path) -> Iterator[Finding]:
    scratch = Path(tempfile.gettempdir())
    if _device(scratch) != _device(_existing(data_root)):
        yield _disk("disk of temporary files", scratch)


def _disk(what: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(_existing(folder))
    found = f"{usage.free / 2**30:,.1f} GiB free of {usage.total / 2**30:,.1f}"
    fix = (
        "Make room: `alp gc --dry-run` and `alp retire` show what can go; or move the data root to a larger disk."
    )
    if usage.free < _FREE_PROBLEM:
        return problem(what, found, fix)
    if usage.free < min(_FREE_WARNING, _FREE_SHARE * usage.total):
        return warning(what, found, fix)
    return ok(what, found)


def _memory() -> Finding:
    have, cores = _memory_bytes(), len(os.sched_getaffinity(0))
    found = f"{have / 2**30:,.1f} GiB, {cores} core{'s' * (cores != 1)}"
    if have < _MEMORY:
        return warning("memory", found, "Give ALP at least 3 GiB; 8 GiB for the encoders ast and beats.")
    return ok("memory", found)


def _run_memory(data_root: Path, params: Params) -> Finding:
    """Whether a run that wants all memory fails alone, where several may run here at a time."""
    what, most = "memory of a run", os.environ.get(_RUN_MEMORY, "").strip()
    if params.run.max_memory_mb:
        return ok(what, f"at most {params.run.max_memory_mb:,} MB (run.max_memory_mb)")
    if most not in ("", "0"):
        return ok(what, f"at most {most} bytes in a worker ({_RUN_MEMORY})")
    runs = _runs_at_once(data_root)
    if runs <= 1:
        return ok(what, "no limit, and no runs that share this machine")
    share = int(_memory_bytes() * _FOR_RUNS / runs) // 2**20
    return warning(
        what,
        f"no limit, and up to {runs} runs at a time: one that wants too much can end the others",
        f"Write `run: {{max_memory_mb: {share}}}` into params.yaml, or set {_RUN_MEMORY} for the workers.",
    )


def _runs_at_once(data_root: Path) -> int:
    """What Dagster's queue allows; none, where there is no instance yet."""
    if not instance_file(data_root).is_file():
        return 0
    runs = (instance_settings(data_root).get("concurrency") or {}).get("runs") or {}
    most = int(runs.get("max_concurrent_runs", _DAGSTERS_RUNS))
    return most if most > 0 else _DAGSTERS_RUNS


def _memory_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, _memory_limit() or total)


def _memory_limit() -> int | None:
    """What the container or service may take, where that is limited."""
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(place).read_text())
        except (OSError, ValueError):
            continue
    return None


def _sandbox() -> Finding:
    """Whether a process that decodes recordings can be held to what it may do: one is started that gives it up."""
    command = [sys.executable, "-I", "-S", "-c", _CONFINE, json.dumps(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.stdout.strip() == "True":
        return ok("sandbox", "in force: what decodes recordings may write no file (Landlock)")
    return warning(
        "sandbox",
        "not in force: what decodes recordings is kept from no file that this user may change or run",
        "Use Linux 5.13 or later with `landlock` in /sys/kernel/security/lsm (boot parameter lsm=landlock,…), in "
        "a container with a seccomp profile that allows Landlock's calls; else give ALP a user of its own.",
    )


def _gpu() -> Finding:
    """Without importing torch, which takes seconds."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    program = shutil.which("nvidia-smi")
    names = _gpus(program) if program else []
    if not names:
        return ok("gpu", "none: everything runs on the CPU")
    if "+cpu" in torch:
        return warning(
            "gpu",
            f"{', '.join(names)}, but torch {torch} is for CPUs",
            "Install the torch of requirements.lock: `sh tools/install.sh`.",
        )
    return ok("gpu", f"{', '.join(names)}; torch {torch}")


def _gpus(program: str) -> list[str]:
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _clock(data_root: Path) -> Finding:
    """The clock must be past ALP's making, and past everything that it has written."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    fix = "Set the clock and keep it with NTP: `timedatectl set-ntp true`. Ages, sessions and freshness go by it."
    if now < _RELEASED:
        return problem("clock", f"{shown}, which has long been", fix)
    newest = max((_modified(path) for path in _dated(data_root)), default=0.0)
    if newest > now + _CLOCK_S:
        ahead = (newest - now) / 60
        return warning("clock", f"{shown}, yet the data root has files that are {ahead:,.0f} minutes newer", fix)
    return ok("clock", shown)


def _dated(data_root: Path) -> Iterator[Path]:
    yield data_root
    for pattern in ("*", "packages/*", "models/*"):
        yield from data_root.glob(pattern)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _device(path: Path) -> int:
    return path.stat().st_dev


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
