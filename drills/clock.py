"""The clock jumps back by two days in the middle of everything."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from unittest.mock import patch

import alp_assets.registry.rows
import alp_assets.stages.upload
from alp_assets.params import load_params
from alp_assets.registry.registry import Registry
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.store.cache import Cache
from alp_assets.watch.freshness import freshness
from alp_assets.watch.packages import Packages
from drills.aftermath import check
from drills.children import Child
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, expect
from drills.work import run_stages
from sensors.inbox import Scan, load_cursor, save_cursor, scan_inbox
from tests.packages import machine_package

JUMP_S = -2 * 86_400.0
_real = time.time


def jumps_in_a_run(ground: Ground) -> str:
    """Between two stages of a package; the next package of the machine is then older than the one before."""
    folder = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    end = Child(_run_with_jump, folder, ground.archive).end()
    expect(end.well, f"the run ended with {end}")
    check(ground, folder)
    later = PackageFolder(folder.data_root, CUSTOMER, "second")
    end = Child(_run_after_jump, later, ground.new_archive("second", seed=1)).end()
    expect(end.well, f"the package received after the jump ended with {end}")
    registry = Registry(folder.data_root)
    for section in package_sections(folder):
        states = sorted(str(version.state) for version in registry.versions(section))
        expect(states.count("champion") == 1, f"{section}: its versions are {states}")
    expect((later.path / "report").is_dir(), "the second package has no report")
    return "both packages went through; one champion"


def jumps_under_the_sensor(ground: Ground) -> str:
    """Files from before the jump seem to be of the future: each zip must arrive once, and none be lost."""
    root, cursor = ground.new_root(), ""
    arrived: list[str] = []

    def look() -> Scan:
        nonlocal cursor
        scan = scan_inbox(root, load_cursor(cursor), most=5)
        cursor = save_cursor(scan.seen)
        arrived.extend(arrival.folder.package for arrival in scan.arrivals)
        return scan

    _drop(root, "before", seed=1, age_s=60)
    look()
    _drop(root, "during", seed=2, age_s=0)
    look()
    with ExitStack() as jumped:
        _jump(jumped)
        look()
        look()
        _drop(root, "after", seed=3, age_s=60)
        look()
        look()
        silent = freshness(Packages(root).look(), load_params(root).freshness, time.time())
        expect(not any(item.overdue for item in silent), "somebody seems silent who is not")
    look()
    expect(sorted(arrived) == ["after", "before", "during"], f"arrived: {arrived}")
    return "each of three zips arrived once: before, during and after the jump"


def jumps_under_the_cache(ground: Ground) -> str:
    """What was used before the jump seems to be used in the future: the cache must stay within its limit."""
    root = ground.new_root()
    cache = Cache(root, limit=1000, grace_s=0.0)
    for name in ("old", "young"):
        place = root / "packages" / name
        place.mkdir(parents=True)
        (place / "data").write_bytes(bytes(900))
        cache.used(f"packages/{name}", 900)
        time.sleep(0.02)
    with ExitStack() as jumped:
        _jump(jumped)
        gone = cache.make_room()
    expect(gone == ["packages/old"], f"{gone or 'nothing'} was dropped from a cache that was too full")
    return "what was not used for longest was dropped"


def _run_with_jump(folder: PackageFolder, archive: Path) -> None:
    middle = STAGES.index("embeddings")
    run_stages(folder, archive, STAGES[:middle], None)
    with ExitStack() as jumped:
        _jump(jumped)
        run_stages(folder, archive, STAGES[middle:], None)


def _run_after_jump(folder: PackageFolder, archive: Path) -> None:
    with ExitStack() as jumped:
        _jump(jumped)
        run_stages(folder, archive, STAGES, None)


def _jump(block: ExitStack) -> None:
    """Let this process see the time of two days ago until the block ends."""
    block.enter_context(patch.object(time, "time", lambda: _real() + JUMP_S))
    block.enter_context(patch.object(time, "time_ns", lambda: round((_real() + JUMP_S) * 1e9)))
    for module in (alp_assets.stages.upload, alp_assets.registry.rows):
        block.enter_context(patch.object(module, "datetime", _EarlierDatetime))


class _EarlierDatetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(_real() + JUMP_S, tz or UTC)


def _drop(root: Path, name: str, *, seed: int, age_s: float) -> None:
    """Put a zip into the inbox that was written so long ago, by the clock as it is."""
    inbox = root / "inbox" / CUSTOMER
    path = machine_package(inbox / f"{name}.part", seed=seed, train=1, normal=0, anomaly=0)
    stamp = time.time() - age_s
    os.utime(path, (stamp, stamp))
    path.rename(inbox / f"{name}.zip")


DRILLS = (
    Drill("clock-run", "the clock jumps back by two days within a run", jumps_in_a_run),
    Drill("clock-sensor", "the clock jumps back by two days between looks at the inbox", jumps_under_the_sensor),
    Drill("clock-cache", "the clock jumps back by two days under the cache of a bucket", jumps_under_the_cache),
)
