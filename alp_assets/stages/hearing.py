"""What a section's model would hear: its sensitivity, measured on normals that were held out for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import read_clip
from alp_assets.encoders.base import Feature, Sound, dtype_of
from alp_assets.encoders.catalog import make_encoder
from alp_assets.engines.base import Engine, Scores
from alp_assets.errors import EngineUnfit
from alp_assets.params import Params
from alp_assets.stages.clips import clip_path
from alp_assets.stages.corpus import Corpus, Rows, Shelf
from alp_assets.stages.sensitivity import sensitivity

_LARGEST_SHARE = 3
"""At most one in three normals is held out: the model that is asked must be like the one that serves."""


def hearing(
    shelf: Shelf, corpus: Corpus, engine: Engine, feature: Feature, threshold: float, params: Params
) -> list[dict[str, Any]]:
    """For each kind of synthetic anomaly the level from which the threshold catches it; nothing where too few
    normals are left to fit on.
    """
    held_out = _held_out(corpus, params.sensitivity.clips)
    try:
        model = engine.fit(corpus.normals.chosen(~_with_siblings(corpus, held_out)))
    except EngineUnfit:
        return []
    encoder = make_encoder(feature.encoder, params.embeddings, shelf.folder.data_root)

    def score(sounds: list[FloatArray]) -> Scores:
        found = encoder.encode([Sound(sound) for sound in sounds], [feature.view])[feature.view]
        return model.score(found.astype(dtype_of(feature.view), copy=False))

    rows = shelf.clips.iloc[corpus.positions[held_out]]
    sounds = [
        read_clip(clip_path(shelf.folder, path), int(valid))
        for path, valid in zip(rows["path"], rows["valid_samples"], strict=True)
    ]
    return [asdict(heard) for heard in sensitivity(score, sounds, threshold, params.sensitivity)]


def _held_out(corpus: Corpus, most: int) -> Rows:
    """The first clips of the package's own last recordings, as many recordings as may be missed."""
    recordings = list(dict.fromkeys(corpus.normals.recordings[corpus.own].tolist()))
    count = min(most, max(len(recordings) // _LARGEST_SHARE, 1))
    rows = np.flatnonzero(np.isin(corpus.normals.recordings, recordings[-count:]) & corpus.own)
    if len(recordings) == 1:
        most = max(min(most, len(rows) // _LARGEST_SHARE), 1)
    held_out = np.zeros(len(corpus.own), bool)
    held_out[rows[:most]] = True
    return held_out


def _with_siblings(corpus: Corpus, held_out: Rows) -> Rows:
    """What must not be learnt from: all of the recordings, unless there is but one."""
    recordings = corpus.normals.recordings
    siblings = np.isin(recordings, recordings[held_out])
    return held_out if siblings.all() else siblings
