"""The threshold of a section's model: set on its calibration scores, or on what a customer labelled for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from alp_assets.decision.labelled import best_threshold, on_labels
from alp_assets.decision.policy import set_threshold
from alp_assets.decision.threshold import Threshold
from alp_assets.engines.base import SOURCE, TARGET, Model, Scores
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.errors import EngineUnfit
from alp_assets.files import write_json
from alp_assets.params import DecisionParams
from alp_assets.stages.corpus import Corpus

VALIDATION_FILE = "validation.json"


def fit_threshold(corpus: Corpus, scores: Scores, params: DecisionParams, clip_seconds: float) -> Threshold:
    """The threshold on the normals that got a calibration score (n,), NaN where they got none.

    Raises:
        EngineUnfit: none of them did.
    """
    got = np.isfinite(scores)
    if not got.any():
        raise EngineUnfit("its scores of the normals are not numbers. Choose other settings of the engine.")
    domains, recordings = corpus.normals.domains[got], corpus.normals.recordings[got]
    counts = {name: len(set(recordings[domains == name].tolist())) for name in (SOURCE, TARGET)}
    return set_threshold(_by_domain(corpus, scores), params, counts, clip_seconds)


def judged_on_labels(
    place: Path, engine: TimeMoe, model: Model, fitted: Threshold, corpus: Corpus, scores: Scores
) -> Threshold:
    """What the recordings for validation say of a model, in ``validation.json``; the threshold that then stands.

    The fitted one does where there are none, or where the parameters ask for it.
    """
    if engine.validation is None:
        return fitted
    anomalous = engine.validation.anomalous
    found = model.score(engine.validation.recordings)
    threshold = fitted
    if engine.params.threshold_on == "labels":
        threshold = on_labels(fitted, _by_domain(corpus, scores), found, anomalous)
    above = found > threshold.value
    figures = {
        "normal_clips": int((~anomalous).sum()),
        "anomalous_clips": int(anomalous.sum()),
        "best": asdict(best_threshold(found, anomalous)),
        "in_force": {
            "threshold": threshold.value,
            "set_on": engine.params.threshold_on,
            "normal_above": int(above[~anomalous].sum()),
            "anomalous_above": int(above[anomalous].sum()),
        },
    }
    write_json(place / VALIDATION_FILE, figures)
    return threshold


def write_threshold(path: Path, threshold: Threshold, corpus: Corpus, scores: Scores) -> None:
    """A threshold, and the calibration scores that it rests on."""
    columns = zip(corpus.clip_ids, corpus.normals.domains, scores, corpus.own, strict=True)
    calibration = [
        {"clip_id": clip, "domain": str(domain), "score": float(score), "own": bool(own)}
        for clip, domain, score, own in columns
        if np.isfinite(score)
    ]
    content: Mapping[str, Any] = {**asdict(threshold), "calibration": calibration}
    write_json(path, content)


def _by_domain(corpus: Corpus, scores: Scores) -> dict[str, Scores]:
    got = np.isfinite(scores)
    return {name: scores[got & (corpus.normals.domains == name)] for name in (SOURCE, TARGET)}
