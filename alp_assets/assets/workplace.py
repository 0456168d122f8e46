"""What every asset works with: the data root, its parameters, and somebody to tell how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from alp_assets.home import data_root
from alp_assets.params import Params, load_params, with_overrides
from alp_assets.progress import Progress, in_lines
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary

packages = dg.DynamicPartitionsDefinition(name="packages")
"""One partition for each package, ``<customer>__<package>``."""


@dataclass(frozen=True)
class Workplace:
    """The resource of all assets. ``told`` and ``progress`` let another driver watch the same run."""

    data_root: Path = field(default_factory=data_root)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    told: Callable[[Summary], None] | None = None
    progress: Callable[[str], Progress] | None = None

    def folder(self, key: str) -> PackageFolder:
        """The package folder of a partition."""
        return PackageFolder.from_key(self.data_root, key)

    def params(self) -> Params:
        """The parameters as they stand now."""
        return with_overrides(load_params(self.data_root), self.overrides)

    def watch(self, stage: str, context: dg.AssetExecutionContext) -> Progress:
        """Progress for a stage: the other driver's, else a log line every few seconds."""
        return self.progress(stage) if self.progress else in_lines(context.log.info)
