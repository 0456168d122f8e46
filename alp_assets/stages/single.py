"""Scoring a recording that belongs to no package, with a section's champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alp_assets.audio.standardize import CLIP_SECONDS
from alp_assets.decision.persistence import alarms
from alp_assets.decision.severity import severity, state
from alp_assets.decision.threshold import threshold_from
from alp_assets.encoders.base import Feature
from alp_assets.engines.store import load_model
from alp_assets.errors import AlpError, AudioUnreadable
from alp_assets.params import ClipParams, EmbeddingParams, Params
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.embeddings import embed_file
from alp_assets.stages.models import read_threshold
from alp_assets.stages.quality import why_set_aside
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
    champion = Registry(data_root).champion(section)
    if champion is None:
        raise AlpError(f"{section}: cannot score, there is no model yet. Onboard a package with normals of it.")
    verify(champion)
    stored = load_model(champion.folder)
    params, feature = _as_fitted(params, stored.card)
    try:
        if reasons := why_set_aside(recording, params):
            raise AlpError(f"{recording}: cannot score. {' '.join(reasons).replace(' → ', ' ')}")
        batches = embed_file(recording, feature, params, data_root, stored.card["encoder"]["settings"])
        scores = [stored.model.score(batch) for batch in batches]
    except FileNotFoundError as error:
        raise AlpError(f"{recording}: no such file.") from error
    except IsADirectoryError as error:
        raise AlpError(f"{recording}: a folder; name the recordings in it, such as {recording}/*.wav.") from error
    except AudioUnreadable as error:
        raise AlpError(f"{recording}: {error}.") from error
    if not scores:
        raise AlpError(f"{recording}: shorter than {params.clips.min_seconds:g} s, which is the least.")
    threshold = read_threshold(champion.folder)
    values = np.concatenate(scores)
    calibration = np.array([item["score"] for item in threshold["calibration"]])
    grades = severity(values, calibration, threshold["value"])
    states = state(grades, params.decision)
    above = values > threshold["value"]
    ringing = alarms(above, threshold_from(threshold).persistence)
    return [
        ClipScore(
            recording=str(recording),
            offset_s=float(CLIP_SECONDS * number),
            score=float(value),
            severity=round(float(grade), 2),
            state=str(level),
            decision="anomaly" if above[number] else "normal",
            alarm=bool(ringing[number]),
            threshold=threshold["value"],
            model=champion.version,
        )
        for number, (value, grade, level) in enumerate(zip(values, grades, states, strict=True))
    ]


def _as_fitted(params: Params, card: dict[str, Any]) -> tuple[Params, Feature]:
    """The parameters with the clips and embeddings that the model was fitted on, and which view of them."""
    encoder = card["encoder"]
    tree = card["parameters"]["embeddings"]
    if "precision" in encoder["settings"]:
        tree = {**tree, "pretrained": {**tree["pretrained"], "precision": encoder["settings"]["precision"]}}
    embeddings = EmbeddingParams.model_validate(tree)
    clips = ClipParams.model_validate(encoder["clips"])
    fitted = params.model_copy(update={"clips": clips, "embeddings": embeddings})
    return fitted, Feature(encoder["name"], encoder["view"])
