"""Steps of the gain: between the recordings of a machine, and inside one."""

from __future__ import annotations

import numpy as np

from alp_assets.params import QualityParams
from alp_assets.stages.quality_heard import CONDITIONS, Heard, Rows
from schemas.problems import Problem

_STEADY = 3.0
"""A step is at least so many times what the levels on its two sides differ."""

_VOID = 0.5
"""Share of a step between recordings in which no level lies."""


def level_steps(heard: Heard, limits: QualityParams) -> tuple[np.ndarray, dict[int, Problem]]:
    """By how many dB (n,) recordings are off their machine's others, 0 where by no step; and warnings by row.

    Only recordings that are called normal, under the same conditions, are compared. A step of the gain moves
    all bands alike: what changes the shape of the spectrum too, the machine itself may do.
    """
    found = np.zeros(len(heard.table))
    machines = heard.normal & ~heard.noise_only
    for _, rows in heard.sections():
        for _, group in heard.groups(CONDITIONS, rows[machines[rows]]):
            if len(group) >= limits.least_recordings:
                found[group] = _steps_of(heard, group, limits)
    return found, {
        int(at): Problem("warning", "level_step", {"db": _signed(found[at])}) for at in np.flatnonzero(found)
    }


def steps_inside(heard: Heard, limits: QualityParams) -> dict[int, Problem]:
    """Warnings by row of recordings that are called normal and whose level steps once, in all bands alike."""
    table = heard.table
    size = table["gain_step_db"].to_numpy(float)
    found = (
        (np.abs(size) >= limits.warn_gain_step_db)
        & (table["gain_step_shape_db"].to_numpy(float) <= limits.max_shape_change_db)
        & (table["gain_step_unrest_db"].to_numpy(float) * _STEADY <= np.abs(size))
        & heard.normal
    )
    return {
        int(at): Problem("warning", "gain_step_inside", {"db": _signed(size[at])}) for at in np.flatnonzero(found)
    }


def _steps_of(heard: Heard, group: Rows, limits: QualityParams) -> np.ndarray:
    levels = heard.levels[group].astype(float)
    levels = levels[:, np.isfinite(levels).all(axis=0)]
    found = np.zeros(len(group))
    course = np.median(levels - np.median(levels, axis=0), axis=1)
    kept = np.arange(len(group))
    while len(kept) >= limits.least_recordings:
        fewer = _apart(course[kept], limits.warn_gain_step_db)
        if not fewer.any():
            break
        most, few = kept[~fewer], kept[fewer]
        change = levels[few] - np.median(levels[most], axis=0)
        size = np.median(change, axis=1)
        shape = np.quantile(np.abs(change - size[:, None]), 0.75, axis=1)
        found[few] = np.where(shape <= limits.max_shape_change_db, size, 0.0)
        kept = most
    return found


def _apart(course: np.ndarray, least_db: float) -> np.ndarray:
    """Which (n,) levels lie on the smaller side of the widest gap, where it is a step; none where it is not."""
    order = np.argsort(course, kind="stable")
    gaps = np.diff(course[order])
    at = int(gaps.argmax()) + 1
    low, high = course[order[:at]], course[order[at:]]
    size = np.median(high) - np.median(low)
    unrest = max(np.quantile(np.abs(side - np.median(side)), 0.9) for side in (low, high))
    fewer = np.zeros(len(course), bool)
    if size >= max(least_db, _STEADY * unrest) and gaps[at - 1] >= _VOID * size:
        fewer[order[:at] if at < len(course) - at else order[at:]] = True
    return fewer


def _signed(size: float) -> str:
    return f"{size:+.1f}"
