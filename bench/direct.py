"""Running the stages of a package as plain functions, in this process, with a clock beside them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alp_assets.params import PROJECT, Params, load_params, with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.upload import upload


def params_with(overrides: Mapping[str, Any]) -> Params:
    """The project's parameters (or ``$ALP_PARAMS``), some of them replaced by dotted name."""
    return with_overrides(load_params(PROJECT), overrides)


def run_stages(folder: PackageFolder, archive: Path, params: Params) -> Mapping[str, float]:
    """All eight stages of a package; seconds by stage.

    Raises:
        RuntimeError: the package failed a gate, which no package of a bench should.
    """
    seconds = {}
    for name in STAGES:
        start = time.perf_counter()
        summary = upload(folder, params, archive=archive) if name == "upload" else run_stage(name, folder, params)
        seconds[name] = time.perf_counter() - start
        if not summary.passed:
            reasons = "; ".join(gate.text for gate in summary.gates if gate.status == "failed")
            raise RuntimeError(f"{folder.key}: {name} failed its gate: {reasons}")
    return seconds
