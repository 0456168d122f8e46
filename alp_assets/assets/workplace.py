"""What every asset works with: the data root, its parameters, and somebody to tell how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from alp_assets.home import data_root
from alp_assets.params import Params, load_params, with_overrides
from alp_assets.progress import Progress
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary

packages = dg.DynamicPartitionsDefinition(name="packages")
"""One partition for each package, ``<customer>__<package>``."""

_EVERY_S = 5.0


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
        return self.progress(stage) if self.progress else _logged(context)


def _logged(context: dg.AssetExecutionContext) -> Progress:
    last = time.monotonic()

    def progress(done: int, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY_S:
            last = time.monotonic()
            context.log.info(f"{done:,} of {total:,} {what}")

    return progress
