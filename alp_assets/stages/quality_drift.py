"""Whether the machines of a package sound as they did in the customer's earlier packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alp_assets.audio.profile import PROFILE_SIZE
from alp_assets.errors import AlpError
from alp_assets.params import QualityParams
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality_heard import PLACE, Heard, Rows, distances_to, heard_of, spread
from alp_assets.stages.upload import read_receipt
from schemas.problems import Problem

QUALITY_FILE = "quality.parquet"
PROFILES_FILE = "profiles.npy"
_COMPARED = (*PLACE, "speed_level", "load_level", "operating_condition")
_MOST = 300


def drift(
    folder: PackageFolder, history: Path, heard: Heard, limits: QualityParams
) -> tuple[dict[str, float], list[Problem]]:
    """How far each machine is from its earlier packages in dB, by name such as ``fan/1``; and warnings.

    The normals of the package are compared with those of all earlier packages under the same conditions:
    how far the median one is from its nearest, level included, beyond how far those usually are from each
    other. Machines without enough normals here or there have no figure.
    """
    earlier = list(_earlier(folder, history))
    found: dict[str, float] = {}
    problems = []
    for name, rows in heard.sections():
        own = rows[heard.train[rows]]
        if len(own) < limits.least_recordings:
            continue
        aways = [
            away for _, group in heard.groups(_COMPARED, own) if (away := _away(heard, group, earlier, limits))
        ]
        if not aways:
            continue
        now, before = max(aways)
        found[name] = round(now, 2)
        if now >= limits.warn_drift_db and now >= limits.misfit_ratio * before:
            problems.append(Problem("warning", "drift", {"section": name, "db": round(now, 1)}))
    return found, problems


def _away(heard: Heard, rows: Rows, earlier: list[Heard], limits: QualityParams) -> tuple[float, float] | None:
    """How far rows of one condition are from earlier ones, and those from each other; ``None`` where too few."""
    first = heard.table.iloc[rows[0]]
    columns = ["machine_type", "section_id", *_COMPARED]
    parts = []
    for other in earlier:
        alike = (other.table[columns] == first[columns]).all(axis=1).to_numpy() & other.train
        alike &= ~other.table["audio_sha256"].isin(heard.table["audio_sha256"]).to_numpy()
        parts.append(other.levels[alike])
    known = np.concatenate(parts) if parts else np.zeros((0, heard.levels.shape[1]), np.float32)
    if len(known) < limits.least_recordings or not len(rows):
        return None
    known = known[spread(len(known), _MOST)]
    new = heard.levels[rows][spread(len(rows), _MOST)]
    present = np.isfinite(known).all(axis=0) & np.isfinite(new).all(axis=0)
    if not present.any():
        return None
    known, new = known[:, present], new[:, present]
    nearest = min(3, len(known) - 1)
    between = float(np.median(distances_to(known, known, nearest, same=True)))
    return float(np.median(distances_to(new, known, nearest))), between


def _earlier(folder: PackageFolder, history: Path) -> Iterator[Heard]:
    """What the customer's packages received before this one hold; those without profiles are passed over."""
    received = str(read_receipt(folder)["received_at"])
    for other in PackageFolder.of_customer(history, folder.customer):
        if other.package != folder.package and (found := _heard_before(other, received)) is not None:
            yield found


def _heard_before(other: PackageFolder, received: str) -> Heard | None:
    import pandas as pd

    try:
        if str(read_receipt(other)["received_at"]) >= received:
            return None
        other.passed("clips")
        table = pd.read_parquet(other.file("quality", QUALITY_FILE))
        profiles = np.load(other.file("quality", PROFILES_FILE), allow_pickle=False)
        if profiles.shape != (len(table), PROFILE_SIZE) or not {"verdict", "row"} <= set(table.columns):
            return None
        return heard_of(table, read_metadata(other), profiles)
    except (AlpError, OSError, ValueError, KeyError):
        return None  # not a package, not finished, or of an earlier version: nothing to compare with
