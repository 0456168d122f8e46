"""The clock jumps back by two days in the middle of everything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import alp_assets.registry.rows
import alp_assets.stages.upload
from alp_assets.params import PROJECT, load_params
from alp_assets.registry.registry import Registry
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.store.cache import Cache
from alp_assets.watch.doctor.daemon import daemon
from alp_assets.watch.freshness import freshness
from alp_assets.watch.packages import Package, Packages
from alp_assets.watch_params import FreshnessParams
from drills.aftermath import check, check_recovered
from drills.children import Child, wait_for
from drills.dagster_dev import Dagster, running
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.runs import DONE_S, all_ended, runs_of, send
from drills.verdict import Drill, expect
from drills.work import run_stages
from sensors.inbox import Scan, load_cursor, save_cursor, scan_inbox
from tests.packages import machine_package

if TYPE_CHECKING:
    import dagster as dg

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


def jumps_under_the_inbox(ground: Ground) -> str:
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
    look()
    expect(sorted(arrived) == ["after", "before", "during"], f"arrived: {arrived}")
    return "each of three zips arrived once: before, during and after the jump"


def jumps_under_freshness(ground: Ground) -> str:
    """Packages of before the jump were received in the future: nobody who has just sent one may seem silent."""
    root = ground.before("end").data_root
    look = Packages(root).look()
    expect(len(look) == 1, f"there are {len(look)} packages")
    rule = load_params(root).freshness.model_copy(update={"max_days": 1.0})
    with ExitStack() as jumped:
        _jump(jumped)
        expect(not _overdue(look, rule), "a customer who has just sent a package seems silent")
    with ExitStack() as jumped:
        _jump(jumped, -JUMP_S)
        expect(_overdue(look, rule), "a customer who was silent for two days does not seem so")
    return "nobody seemed silent after the jump; after two days without a package, somebody did"


def jumps_under_dagster(ground: Ground) -> str:
    """Every sensor waits by the clock for its next look, and the queue does: both must go on."""
    from alp_assets.definitions import defs

    folder = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    ahead = folder.data_root / "clock-ahead"
    ahead.write_text(str(-JUMP_S))
    other = {"PYTHONPATH": str(PROJECT / "drills" / "other_clock"), "ALP_DRILL_CLOCK": str(ahead)}
    dagster = Dagster(folder.data_root, other)
    with running(dagster) as instance:
        names = {sensor.name for sensor in defs.sensors or ()}
        tomorrow = time.time() - JUMP_S / 2
        wait_for(
            lambda: _looked(instance, lambda at: at > tomorrow) == names, "each sensor has looked by that clock"
        )
        ahead.unlink()
        wait_for(
            lambda: _looked(instance, lambda at: at < tomorrow) == names, "each sensor has looked after the jump"
        )
        send(ground, [folder])
        wait_for(lambda: all_ended(instance, {folder.key}), "the package's run has ended", seconds=DONE_S)
        tries = [record.dagster_run.status.value for record in runs_of(instance, {folder.key})[folder.key]]
        expect(tries == ["SUCCESS"], f"the package's runs ended with {tries}")
        expect(not _doctor(dagster, folder), "the doctor tells to restart the daemon")
    check_recovered(ground, folder)
    check(ground, folder)
    return f"{len(names)} sensors and the queue went on by themselves"


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


def _looked(instance: dg.DagsterInstance, when: Callable[[float], bool]) -> set[str]:
    """The sensors whose last look began at such a time."""
    from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

    found = set()
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        known = state.instigator_data
        if isinstance(known, SensorInstigatorData) and when(known.last_tick_start_timestamp or 0.0):
            found.add(state.name)
    return found


def _doctor(dagster: Dagster, folder: PackageFolder) -> str:
    with patch.dict(os.environ, DAGSTER_HOME=str(dagster.home)):
        return "".join(finding.fix for finding in daemon(folder.data_root))


def _overdue(look: Iterable[Package], rule: FreshnessParams) -> bool:
    return any(item.overdue for item in freshness(look, rule, time.time()))


def _jump(block: ExitStack, by_s: float = JUMP_S) -> None:
    """Let this process see another time until the block ends: by default that of two days ago."""
    block.enter_context(patch.object(time, "time", lambda: _real() + by_s))
    block.enter_context(patch.object(time, "time_ns", lambda: round((_real() + by_s) * 1e9)))
    for module in (alp_assets.stages.upload, alp_assets.registry.rows):
        block.enter_context(patch.object(module, "datetime", _EarlierDatetime))


class _EarlierDatetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(time.time(), tz or UTC)


def _drop(root: Path, name: str, *, seed: int, age_s: float) -> None:
    """Put a zip into the inbox that was written so long ago, by the clock as it is."""
    inbox = root / "inbox" / CUSTOMER
    path = machine_package(inbox / f"{name}.part", seed=seed, train=1, normal=0, anomaly=0)
    stamp = time.time() - age_s
    os.utime(path, (stamp, stamp))
    path.rename(inbox / f"{name}.zip")


DRILLS = (
    Drill("clock-run", "the clock jumps back by two days within a run", jumps_in_a_run),
    Drill("clock-dagster", "the clock jumps back by two days under `dagster dev`", jumps_under_dagster),
    Drill(
        "clock-inbox",
        "the clock jumps back by two days between looks at the inbox",
        jumps_under_the_inbox,
    ),
    Drill(
        "clock-freshness",
        "the clock jumps back by two days after a package was received",
        jumps_under_freshness,
    ),
    Drill(
        "clock-cache",
        "the clock jumps back by two days under the cache of a bucket",
        jumps_under_the_cache,
    ),
)
