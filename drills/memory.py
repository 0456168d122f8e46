"""A package that eats memory, while another one is worked on."""

from __future__ import annotations

from typing import Any

import numpy as np

import alp_assets.stages.embeddings as embeddings
from alp_assets.params import load_params, with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check
from drills.children import Child, stages_of
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, expect

LIMIT_MB = 1_500
_EATEN_MB = 256


def out_of_memory(ground: Ground) -> str:
    """The run that goes beyond its limit fails in words; the one beside it ends as if nothing had been."""
    hungry = ground.before("embeddings")
    other = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    with stages_of(other, ground.archive) as beside, Child(eat, hungry) as eating:
        end = eating.end()
        well = beside.end()
    expect(end.kind == "MemoryExceeded", f"the hungry run ended with {end}")
    expect(not (hungry.path / "embeddings").exists(), "it published something")
    expect(well.well, f"the other run was disturbed: {well}")
    check(ground, other)
    check(ground, hungry)
    return str(end)


def eat(folder: PackageFolder) -> None:
    """The stage embeddings, which takes more memory with each clip and gives none back."""
    eaten = []
    load = embeddings._sound

    def greedy(*given: Any) -> Any:
        eaten.append(np.ones(_EATEN_MB << 20, np.uint8))
        return load(*given)

    vars(embeddings)["_sound"] = greedy
    run_stage("embeddings", folder, with_overrides(load_params(folder.data_root), {"run.max_memory_mb": LIMIT_MB}))


DRILLS = (Drill("memory", f"a run that eats memory without end, with a limit of {LIMIT_MB:,} MB", out_of_memory),)
