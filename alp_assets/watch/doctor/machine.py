"""The machine: what may be written where, disk, memory, GPU, clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alp_assets.watch.doctor.finding import Finding, ok, problem, warning

_FREE_PROBLEM = 2 * 2**30
_FREE_WARNING = 20 * 2**30
_FREE_SHARE = 0.05
_MEMORY = 3 * 2**30
_CLOCK_S = 300.0
_RELEASED = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


def machine(data_root: Path) -> Iterator[Finding]:
    """Everything of this machine that ALP depends on."""
    yield from _writable(data_root)
    yield _disk("disk", data_root)
    scratch = Path(tempfile.gettempdir())
    if _device(scratch) != _device(_existing(data_root)):
        yield _disk("disk of temporary files", scratch)
    yield _memory()
    yield _gpu()
    yield _clock(data_root)


def _writable(data_root: Path) -> Iterator[Finding]:
    """Write, sync, rename and delete, as every stage does: rights alone do not tell of a read-only mount."""
    place = _existing(data_root)
    if not place.is_dir():
        yield problem("data root", f"{place} is no folder", "Choose another data root with --data or ALP_DATA.")
        return
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
        yield problem(
            "write rights",
            f"cannot write: {', '.join(broken)}",
            f"Give them to the user {_user()}: `chown -R {_user()} {data_root}`; look whether the disk is mounted "
            "read-only or full.",
        )
    else:
        made = "" if data_root.is_dir() else " (it will be made)"
        yield ok("write rights", f"{data_root}{made}, as {_user()}")


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
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _memory_limit()
    have, cores = min(total, limit or total), len(os.sched_getaffinity(0))
    found = f"{have / 2**30:,.1f} GiB, {cores} core{'s' * (cores != 1)}"
    if have < _MEMORY:
        return warning("memory", found, "Give ALP at least 3 GiB; 8 GiB for the encoders ast and beats.")
    return ok("memory", found)


def _memory_limit() -> int | None:
    """What the container or service may take, where that is limited."""
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(place).read_text())
        except (OSError, ValueError):
            continue
    return None


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
