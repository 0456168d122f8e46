"""What people said of clips: which alarms were false and which were real."""

from __future__ import annotations

import pandas as pd

from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder

NORMAL, ANOMALY = "normal", "anomaly"


def customer_labels(folder: PackageFolder) -> dict[str, dict[str, str]]:
    """The labels that were given to clips of the customer's packages: by package, by clip."""
    found: dict[str, dict[str, str]] = {}
    for label in Registry(folder.data_root).labels(folder.customer):
        found.setdefault(label.package, {})[label.clip_id] = label.label
    return found


def package_labels(folder: PackageFolder) -> dict[str, str]:
    """The labels that were given to clips of a package."""
    return {
        label.clip_id: label.label for label in Registry(folder.data_root).labels(folder.customer, folder.package)
    }


def with_labels(clips: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """Clips with the given labels in the place of those that the table has."""
    if not labels:
        return clips
    given = clips["clip_id"].map(labels)
    return clips.assign(label=clips["label"].where(given.isna(), given))
