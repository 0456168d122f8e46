"""Onboarding from the command line: the job of the Dagster UI, run here and recorded in the same instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.errors import SnapshotFailed
from alp_assets.home import keep_caches_in
from alp_assets.params import Params, load_params, with_overrides
from alp_assets.progress import Progress
from alp_assets.stages.disk import disk_told
from alp_assets.stages.package import REJECTED, PackageFolder
from alp_assets.stages.rejection import failed_gates, reject
from alp_assets.stages.summary import Summary


@dataclass(frozen=True)
class Onboarded:
    """How a run ended. ``reasons`` say why a package was refused or a run failed; ``run_id`` is Dagster's."""

    folder: PackageFolder
    success: bool
    reasons: tuple[str, ...]
    run_id: str


def onboard(
    folder: PackageFolder,
    archive: Path,
    overrides: Mapping[str, Any],
    told: Callable[[Summary], None],
    progress: Callable[[str], Progress],
) -> Onboarded:
    """Work one package through all stages. A refused package gets its letter in ``rejected/``.

    Raises:
        DiskRefused: a disk that is full or read-only keeps Dagster from recording the run.
    """
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    import dagster as dg

    from alp_assets.assets.instance import open_instance
    from alp_assets.assets.job import assets
    from alp_assets.assets.processes import end_killed_runs, process_tag
    from alp_assets.assets.workplace import Workplace, packages
    from alp_assets.checks.gates import gates

    config = {"archive": str(archive.resolve()), "original_name": archive.name}
    with disk_told(folder.data_root, f"the run of {folder.key}"), open_instance(folder.data_root) as instance:
        end_killed_runs(instance)
        instance.add_dynamic_partitions(str(packages.name), [folder.key])
        result = dg.materialize(
            [*assets, *gates],
            partition_key=folder.key,
            instance=instance,
            resources={"workplace": Workplace(folder.data_root, overrides, told, progress)},
            run_config={
                "ops": {"upload": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={"customer": folder.customer, **process_tag()},
            raise_on_error=False,
        )
        if _interrupted(result):
            raise KeyboardInterrupt
        reasons = () if result.success else tuple(_reasons(folder, result))
    if not result.success and folder.has(REJECTED):
        _version_refused(folder, with_overrides(load_params(folder.data_root), overrides))
    return Onboarded(folder, result.success, reasons, result.run_id)


def _version_refused(folder: PackageFolder, params: Params) -> None:
    """Version a refused package, whose run ends before its own snapshot. What fails waits for the next one."""
    from alp_assets.versions.queue import takes_versions
    from alp_assets.versions.snapshot import snapshot

    if takes_versions(folder.data_root, params.versioned):
        keep_caches_in(folder.data_root)
        with suppress(SnapshotFailed):
            snapshot(folder, params)


def _interrupted(result: Any) -> bool:
    """Whether somebody pressed Ctrl-C, which Dagster reports as the failure of a step."""
    failures = [event.step_failure_data for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return any("Interrupt" in (failure.error.cls_name or "") for failure in failures if failure.error is not None)


def _reasons(folder: PackageFolder, result: Any) -> list[str]:
    """Why a run failed: what a stage raised on purpose, else the gates, else a crash.

    Failed gates write the letter, unless the run ended before it came to them.
    """
    refusals, crashes = [], []
    for event in result.all_events:
        if event.event_type_value != "STEP_FAILURE":
            continue
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            refusals.append(failure.user_failure_data.description)
        elif failure.error is not None:
            error = failure.error.cause or failure.error
            crashes.append(f"{event.step_key}: {error.message.strip()}")
    if refusals:
        return refusals
    return reject(folder) if failed_gates(folder) else crashes
