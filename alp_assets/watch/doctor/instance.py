"""What the ``dagster.yaml`` of a data root says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from alp_assets.home import home_of


def instance_file(data_root: Path) -> Path:
    """Where it is, which need not be there."""
    return home_of(data_root) / "dagster.yaml"


def instance_settings(data_root: Path) -> dict[str, Any]:
    """Its settings; none where it is not there or damaged, which the look at Dagster itself tells."""
    try:
        found = yaml.safe_load(instance_file(data_root).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
