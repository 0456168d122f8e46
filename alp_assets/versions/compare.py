"""What is different between two versions of a package: parameters, clips, scores, verdicts, thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alp_assets.versions.contents import Contents

_SECTION_FIGURES = (
    "state",
    "engine",
    "model_version",
    "model_package",
    "threshold",
    "promised_false_alarm_rate",
    "observed",
    "flagged",
    "test_clips",
    "auc",
    "pauc",
    "kpi",
    "reason",
)


@dataclass(frozen=True)
class Change:
    """A value before and after; ``None`` where there was none."""

    before: Any
    after: Any


@dataclass(frozen=True)
class ScoreChange:
    """A clip that scores otherwise. ``decision`` and ``threshold`` may be the same before and after."""

    clip_id: str
    section: str
    score: Change
    decision: Change
    threshold: Change

    @property
    def difference(self) -> float:
        """How far apart the scores are; infinite where one is no number."""
        apart = abs(self.score.before - self.score.after)
        return apart if math.isfinite(apart) else math.inf

    @property
    def turned(self) -> bool:
        """Whether the clip is an anomaly in one version and none in the other."""
        return bool(self.decision.before != self.decision.after)


@dataclass(frozen=True)
class Difference:
    """What changed from one version to another.

    Attributes:
        parameters: those that are not the same, by dotted name.
        sections: figures that are not the same, by section.
        added: clips that only the later version has; ``removed`` only the earlier one.
        audio: clips whose audio is other audio.
        scores: clips that both scored, with another score, threshold or decision; the largest first.
        compared: how many clips both scored.
    """

    before: str
    after: str
    parameters: dict[str, Change]
    sections: dict[str, dict[str, Change]]
    added: list[str]
    removed: list[str]
    audio: list[str]
    scores: list[ScoreChange]
    compared: int

    def __bool__(self) -> bool:
        return any(
            (self.parameters, self.sections, self.added, self.removed, self.audio, self.scores),
        )


def differences(before: Contents, after: Contents) -> Difference:
    """What changed between two versions."""
    shared = before.clips.keys() & after.clips.keys()
    scores = score_changes(before, after)
    return Difference(
        before=before.name,
        after=after.name,
        parameters=changes(before.parameters, after.parameters),
        sections=_sections(before, after),
        added=sorted(after.clips.keys() - shared),
        removed=sorted(before.clips.keys() - shared),
        audio=sorted(clip for clip in shared if before.clips[clip] != after.clips[clip]),
        scores=sorted(scores, key=lambda item: (not item.turned, -item.difference, item.clip_id)),
        compared=len(before.scores.index.intersection(after.scores.index)),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    """The values that are not the same, by name."""
    return {
        name: Change(before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


def score_changes(before: Contents, after: Contents) -> list[ScoreChange]:
    """The clips that both versions scored, and not to the same score, threshold and verdict."""
    names = ["score", "decision", "threshold"]
    both = before.scores.join(after.scores[names], how="inner", rsuffix="_after")
    found = []
    for clip, row in both.iterrows():
        values = [Change(row[name], row[f"{name}_after"]) for name in names]
        if any(not _same(value) for value in values):
            found.append(ScoreChange(str(clip), f"{row['machine_type']}/{row['section_id']}", *values))
    return found


def _sections(before: Contents, after: Contents) -> dict[str, dict[str, Change]]:
    found = {}
    for name in sorted(before.sections.keys() | after.sections.keys()):
        told = changes(_figures(before.sections.get(name, {})), _figures(after.sections.get(name, {})))
        if told:
            found[name] = told
    return found


def _figures(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: entry[name] for name in _SECTION_FIGURES if entry.get(name) is not None}
    if "observed" in found:
        observed = found.pop("observed")
        found["false_alarms"] = f"{observed['false_alarms']} of {observed['normals']}"
    if "kpi" in found:
        found["kpi"] = found["kpi"]["status"]
    return found


def _same(value: Change) -> bool:
    if isinstance(value.before, float) and math.isnan(value.before):
        return isinstance(value.after, float) and math.isnan(value.after)
    return bool(value.before == value.after)
