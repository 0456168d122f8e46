"""Recordings whose sound fits another machine of the package better than the one that they are filed under."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.params import QualityParams
from alp_assets.stages.quality_heard import Heard, Rows, distances_to, shapes, spread
from schemas.problems import Problem

_MOST = 300
"""Normals of a group that recordings are compared with: more of them know no better what is usual."""

_NEIGHBOUR = 5


def better_fits(heard: Heard, limits: QualityParams) -> tuple[list[str], dict[int, Problem]]:
    """For each recording (n) the other machine that it fits, else an empty text; and warnings by row.

    Three things must hold: it is farther from its own machine's normals than they are from each other, by a
    factor; it is as close to the other machine's as they are to each other; and it is closer there than at home
    by a factor. So an anomaly, which fits nowhere, is left alone, as are two machines that sound the same.
    Recordings that are called anomalous or hold noise alone are not judged.
    """
    names = [""] * len(heard.table)
    for name, rows in heard.sections():
        for at in rows:
            names[at] = name
    usable = ~heard.noise_only & (heard.table["label"] != "anomaly").to_numpy()
    fits = [""] * len(names)
    for _, rows in heard.groups(("sample_rate_hz",), np.arange(len(names))):
        points = _scaled(shapes(heard.profiles[rows]), heard, rows)
        homes = _homes(heard, rows, points, limits)
        if len({home.section for home in homes}) < 2:
            continue
        for place, other in _misplaced(points, [names[at] for at in rows], homes, limits).items():
            if usable[rows[place]]:
                fits[rows[place]] = other
    found = {
        at: Problem("warning", "fits_other_section", {"section": names[at], "other": other})
        for at, other in enumerate(fits)
        if other
    }
    return fits, found


@dataclass(frozen=True)
class _Home:
    """Normals of a machine under like conditions: where they lie, and how far from each other they usually are."""

    section: str
    members: Rows
    nearest: int
    usual: float
    widest: float


def _homes(heard: Heard, rows: Rows, points: FloatArray, limits: QualityParams) -> list[_Home]:
    place = np.full(len(heard.table), -1)
    place[rows] = np.arange(len(rows))
    train = rows[heard.train[rows]]
    found = []
    for _, section in heard.groups(("machine_type", "section_id"), train):
        name = "/".join(heard.table[["machine_type", "section_id"]].iloc[section[0]].astype(str))
        for _, group in heard.groups(("domain", "mic_position_id"), section):
            members = place[group][spread(len(group), _MOST)]
            if len(members) < limits.least_recordings:
                continue
            nearest = min(_NEIGHBOUR, len(members) // 2)
            apart = distances_to(points[members], points[members], nearest, same=True)
            found.append(_Home(name, members, nearest, float(np.median(apart)), float(np.quantile(apart, 0.9))))
    return found


def _misplaced(points: FloatArray, names: list[str], homes: list[_Home], limits: QualityParams) -> dict[int, str]:
    """The other machine by row of the points."""
    sections = sorted({home.section for home in homes})
    column = {name: number for number, name in enumerate(sections)}
    distance = np.full((len(points), len(sections)), np.inf)
    relative = np.full_like(distance, np.inf)
    typical = np.zeros(distance.shape, bool)
    for home in homes:
        at = column[home.section]
        away = _from_home(points, home)
        distance[:, at] = np.minimum(distance[:, at], away)
        relative[:, at] = np.minimum(relative[:, at], away / max(home.usual, 1e-6))
        typical[:, at] |= away <= home.widest
    found = {}
    for row, name in enumerate(names):
        if name not in column:
            continue
        own = column[name]
        best = int(np.where(np.arange(len(sections)) == own, np.inf, distance[row]).argmin())
        foreign = relative[row, own] >= limits.misfit_ratio
        closer = distance[row, own] >= limits.misfit_ratio * distance[row, best]
        if foreign and closer and typical[row, best]:
            found[row] = sections[best]
    return found


def _from_home(points: FloatArray, home: _Home) -> FloatArray:
    """How far (n,) points are from the members, of whom none counts as its own neighbour."""
    away = distances_to(points, points[home.members], home.nearest)
    away[home.members] = distances_to(points[home.members], points[home.members], home.nearest, same=True)
    return away


def _scaled(points: FloatArray, heard: Heard, rows: Rows) -> FloatArray:
    """Points (n, 128) in units of what figures usually differ between normals of one machine, at least 1 dB."""
    train = heard.train[rows]
    sections = (heard.table["machine_type"] + "/" + heard.table["section_id"]).iloc[rows].to_numpy(str)
    apart = []
    for name in np.unique(sections[train]):
        part = points[train & (sections == name)]
        if len(part) > 1:
            apart.append(part - np.median(part, axis=0))
    if not apart:
        return points
    deviation = np.median(np.abs(np.concatenate(apart)), axis=0) * 1.4826
    scaled: FloatArray = points / np.maximum(deviation, 1.0)
    return scaled
