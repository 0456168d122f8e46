"""Running the stages of a package as plain functions, in this process, with a clock beside them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.params import PROJECT, Params, load_params, with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.upload import upload


@dataclass(frozen=True)
class Took:
    """What a stage took: wall seconds, and processor seconds over all threads."""

    wall_s: float
    processor_s: float


def params_with(overrides: Mapping[str, Any]) -> Params:
    """The project's parameters (or ``$ALP_PARAMS``), some of them replaced by dotted name."""
    return with_overrides(load_params(PROJECT), overrides)


def run_stages(folder: PackageFolder, archive: Path, params: Params) -> Mapping[str, Took]:
    """All eight stages of a package; what each of them took.

    Raises:
        RuntimeError: the package failed a gate, which no package of a bench should.
    """
    took = {}
    for name in STAGES:
        wall, processor = time.perf_counter(), time.process_time()
        summary = upload(folder, params, archive=archive) if name == "upload" else run_stage(name, folder, params)
        took[name] = Took(time.perf_counter() - wall, time.process_time() - processor)
        if not summary.passed:
            reasons = "; ".join(gate.text for gate in summary.gates if gate.status == "failed")
            raise RuntimeError(f"{folder.key}: {name} failed its gate: {reasons}")
    return took
