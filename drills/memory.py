"""A package that eats memory, while another one is worked on."""

from __future__ import annotations

from typing import Any

import numpy as np

import alp_assets.stages.embeddings as embeddings
from alp_assets.home import data_root
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check_recovered
from drills.ground import PACKAGE, PARAMETERS, Ground
from drills.job import open_job
from drills.verdict import Drill, expect

LIMIT_MB = 1_500
_EATEN_MB = 256
_LIMITED = PARAMETERS.replace("run: {", f"run: {{max_memory_mb: {LIMIT_MB}, ")
_HUNGRY = "hungry-package"


def out_of_memory(ground: Ground) -> str:
    """Two runs at once: the one beyond its limit fails in words, the other ends as if nothing had been."""
    hungry = ground.before("embeddings")
    other = PackageFolder(hungry.data_root, "other", PACKAGE)
    parameters, marker = (hungry.data_root / name for name in ("params.yaml", _HUNGRY))
    parameters.write_text(_LIMITED, encoding="utf-8")
    marker.write_text(hungry.key)
    with open_job(ground, hungry.data_root, trap=f"{__name__}:{eat.__name__}") as job:
        beside, eating = job.ask(other), job.ask(hungry, "embeddings", "models", "scores", "report")
        job.at_work(beside)
        job.at_work(eating)
        expect(job.status(beside) == "STARTED", "no other run was at work at the same time")
        said = job.refused(eating)
        expect("needs more memory" in said, f"the hungry run ended with {said}")
        expect(not (hungry.path / "embeddings").exists(), "it published something")
        job.well(beside)
        check_recovered(ground, other)
        marker.unlink()
        parameters.write_text(PARAMETERS, encoding="utf-8")
        job.check(hungry)
    return f"{said} The other one, {other.key}, ended well beside it."


def eat() -> None:
    """Let the stage embeddings of one package take more memory with each clip, and give none back."""
    eaten = []
    load = embeddings._sound
    marker = data_root() / _HUNGRY

    def greedy(folder: PackageFolder, *given: Any) -> Any:
        if marker.exists() and marker.read_text() == folder.key:
            eaten.append(np.ones(_EATEN_MB << 20, np.uint8))
        return load(folder, *given)

    vars(embeddings)["_sound"] = greedy


DRILLS = (
    Drill(
        "memory",
        f"of two Dagster runs at once one eats memory without end, with a limit of {LIMIT_MB:,} MB for each",
        out_of_memory,
    ),
)
