"""What the registry knows of a package's models, as Dagster shows it."""

from __future__ import annotations

import pandas as pd

from alp_assets.assets.running import Metadata, table_metadata
from alp_assets.registry.records import Version
from alp_assets.registry.registry import ModelMissing, Registry, content_hash
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import PackageFolder

_FIGURES = ("auc", "pauc", "observed_false_alarms")


def registered_metadata(folder: PackageFolder) -> Metadata:
    """A row for every model that the package's stage ``models`` fitted; nothing where it fitted none."""
    registry = Registry(folder.data_root)
    rows = [_row(version, registry) for version in _own_versions(folder, registry)]
    return {"registered": table_metadata(pd.DataFrame(rows))} if rows else {}


def _own_versions(folder: PackageFolder, registry: Registry) -> list[Version]:
    found = []
    for section in package_sections(folder):
        place = folder.stage("models") / section.folder
        try:
            found.append(registry.get(content_hash(place)))
        except ModelMissing:
            continue
    return found


def _row(version: Version, registry: Registry) -> dict[str, object]:
    calibration = version.calibration
    return {
        "section": f"{version.section.machine_type}/{version.section.section_id}",
        "model": version.name,
        "version": version.version,
        "state": str(version.state),
        "why": version.reason,
        "engine": version.engine,
        "threshold": registry.threshold(version.version),
        "normals": version.clips,
        "promised_false_alarms": calibration.get("promised"),
        "hears_from_db": calibration.get("sensitivity"),
        **{name: version.metrics.get(name) for name in _FIGURES},
    }
