"""Scoring a recording that belongs to no package, with a section's champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alp_assets.audio.standardize import CLIP_SECONDS
from alp_assets.errors import AlpError
from alp_assets.params import Params
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.diagnosis import Heard, judge, load_for_diagnosis
from alp_assets.stages.in_force import threshold_in_force
from schemas.sections import Section


@dataclass(frozen=True)
class ClipScore:
    """The score of ten seconds of a recording, and how it compares with the threshold.

    ``decision`` is of the clip alone; ``alarm`` says whether so many of the last clips were above that the
    threshold's rule raises one.
    """

    recording: str
    offset_s: float
    score: float
    severity: float
    state: str
    decision: str
    alarm: bool
    threshold: float
    model: str


def score_file(data_root: Path, section: Section, recording: Path, params: Params) -> list[ClipScore]:
    """Cut a recording as a package's would be and score every clip with the section's champion.

    What would be set aside in a package gets no score: it is an ``AlpError`` with the reason.
    """
    registry = Registry(data_root)
    champion = registry.champion(section)
    if champion is None:
        raise AlpError(f"{section}: cannot score, there is no model yet. Onboard a package with normals of it.")
    verify(champion)
    loaded = load_for_diagnosis(champion.folder)
    threshold = threshold_in_force(registry, champion.version, loaded.threshold)
    try:
        heard = Heard(recording, params.model_copy(update={"clips": loaded.clips}), name=str(recording))
        found = judge(heard, loaded, threshold, params.decision, data_root)
    except FileNotFoundError as error:
        raise AlpError(f"{recording}: no such file.") from error
    except IsADirectoryError as error:
        raise AlpError(f"{recording}: a folder; name the recordings in it, such as {recording}/*.wav.") from error
    return [
        ClipScore(
            recording=str(recording),
            offset_s=float(CLIP_SECONDS * number),
            score=float(found.score[number]),
            severity=round(float(found.severity[number]), 2),
            state=found.state[number],
            decision="anomaly" if found.above[number] else "normal",
            alarm=found.alarm[number],
            threshold=found.threshold,
            model=champion.version,
        )
        for number in range(len(found.score))
    ]
