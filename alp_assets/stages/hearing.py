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
from alp_assets.stages.sensitivity import sensitivity, unheard

_LARGEST_SHARE = 3
"""At most one in three normals is held out: the model that is asked must be like the one that serves."""

_LEAST_LEFT = 2
"""So many recordings of a domain must be left to learn from, or none of it is held out."""


def hearing(
    shelf: Shelf, corpus: Corpus, engine: Engine, feature: Feature, threshold: float, params: Params
) -> list[dict[str, Any]]:
    """For each kind of synthetic anomaly the level from which the threshold catches it.

    Where nothing could be measured, every entry has no clips and its text says why.
    """
    held_out = _held_out(corpus, params.sensitivity.clips)
    try:
        model = engine.fit(corpus.normals.chosen(~_with_siblings(corpus, held_out)))
    except EngineUnfit:
        return [asdict(heard) for heard in unheard("too few normals would be left to learn from")]
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
    """Clips of the package's own, spread over its recordings within each domain.

    At most one in three of a domain's recordings, and none that would leave a domain fewer than
    ``_LEAST_LEFT``; where that is none at all, one recording of the largest domain.
    """
    recordings = corpus.normals.recordings
    by_domain = _recordings_by_domain(corpus, corpus.own)
    everywhere = _recordings_by_domain(corpus, np.ones(len(corpus.own), bool))
    bearable = {
        name: min(max(len(own) // _LARGEST_SHARE, 1), len(everywhere[name]) - _LEAST_LEFT)
        for name, own in by_domain.items()
    }
    turns = sorted((turn, name) for name, count in bearable.items() for turn in range(count))[:most]
    chosen = [
        own[place]
        for name, own in by_domain.items()
        for place in _spread(len(own), sum(of == name for _, of in turns))
    ]
    if not chosen:
        largest = max(by_domain.values(), key=len)
        chosen = [largest[place] for place in _spread(len(largest), 1)]
    rows = np.flatnonzero(np.isin(recordings, chosen) & corpus.own)
    if len(set(recordings.tolist())) == 1:
        rows = rows[: max(len(rows) // _LARGEST_SHARE, 1)]
    held_out = np.zeros(len(corpus.own), bool)
    held_out[rows[_spread(len(rows), min(most, len(rows)))]] = True
    return held_out


def _recordings_by_domain(corpus: Corpus, rows: Rows) -> dict[str, list[str]]:
    """The recordings of each domain among so many normals, in their order."""
    found: dict[str, dict[str, None]] = {}
    domains, recordings = corpus.normals.domains[rows].tolist(), corpus.normals.recordings[rows].tolist()
    for domain, recording in zip(domains, recordings, strict=True):
        found.setdefault(domain, {})[recording] = None
    return {name: list(names) for name, names in found.items()}


def _spread(count: int, most: int) -> list[int]:
    """So many of ``count`` places, from the middles of equal stretches."""
    return [(2 * place + 1) * count // (2 * most) for place in range(most)]


def _with_siblings(corpus: Corpus, held_out: Rows) -> Rows:
    """What must not be learnt from: all of the recordings, unless there is but one."""
    recordings = corpus.normals.recordings
    siblings = np.isin(recordings, recordings[held_out])
    return held_out if siblings.all() else siblings
