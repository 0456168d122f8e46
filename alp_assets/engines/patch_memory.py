"""Engine A: local patches of a clip against a memory of normal patches.

After AST-PB (Wu et al., "Towards Few-Shot Training-Free Anomaly Sound Detection", Interspeech 2025): a few
normal clips fill a memory for each layer; a patch is as anomalous as one less its largest cosine with the
memory; the mean over layers is a map over bands and time, and the mean of its upper tail scores the clip.

The mode ``bandwise`` adds two things. A patch is compared with the patches of its own frequency band, and
the map is divided by what normals show in each band, so that bands that always vary do not drown the others.

The memory is kept apart by witness, which is a recording of the support. Whatever must be unseen is left
out by leaving out its witness, exactly and without fitting anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import TARGET, Evidence, Extras, Normals, Scores, Strings, refuse_too_few
from alp_assets.engines.coreset import k_center
from alp_assets.params import PatchMemoryParams

MAX_NORMALS = 64
"""Normals that are made use of: the support, and as many again as calibration gains from."""

_SILENT = 1e-3
"""A patch whose norm is below this share of its layer's mean norm has no direction; all such are alike."""

_LEAST_SHARE, _LEAST = 0.1, 1e-3
"""No band's usual distance is taken as less than this share of the mean band's, nor as less than this."""

_Keys = dict[tuple[int, int], npt.NDArray[np.float16]]
"""Rows of the memory by layer and group."""

_CLIPS = 8
_KEYS = 2048
"""Clips, and rows of the memory, that are held in single precision at a time."""


@dataclass(frozen=True)
class PatchMemoryModel:
    """Unit patches of the support in half precision, ``keys`` (rows, values + 1): see ``_unit``.

    ``bounds`` (layers, groups, witnesses + 1) says where the rows of each witness start. A group is the set
    of bands that are compared with each other. Patches of a norm below ``floors`` (layers,) are silent.
    Maps are divided by ``usual`` (bands,).
    """

    keys: npt.NDArray[np.float16]
    bounds: npt.NDArray[np.int64]
    floors: FloatArray
    usual: FloatArray
    upper_share: float

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"upper_share": self.upper_share, "witnesses": self.bounds.shape[2] - 1, "patches": len(self.keys)}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of embeddings (n, layers, bands, time, values): the mean of each map's upper tail."""
        return np.array([_upper_mean(found, self.upper_share) for found in self._maps(embeddings)], np.float64)

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The maps (bands, time) that the scores are taken from."""
        return [Evidence(map=found) for found in self._maps(embeddings)]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The memory and what it is read by."""
        return {"keys": self.keys, "bounds": self.bounds, "floors": self.floors, "usual": self.usual}

    def cosines(self, embeddings: FloatArray) -> Iterator[FloatArray]:
        """For each clip (layers, bands, time, witnesses): the largest cosine with any patch of a witness.

        Every product is one of a single clip's patches with a fixed part of the memory, because products of
        other shapes round otherwise, and a clip must get the same score alone as among others.
        """
        for start in range(0, len(embeddings), _CLIPS):
            yield from self._cosines_of_some(embeddings[start : start + _CLIPS])

    def _maps(self, embeddings: FloatArray) -> Iterator[FloatArray]:
        for cosines in self.cosines(embeddings):
            yield _distances(cosines) / self.usual[:, None]

    def _cosines_of_some(self, embeddings: FloatArray) -> FloatArray:
        clips, layers, bands, time, values = embeddings.shape
        groups, witnesses = self.bounds.shape[1], self.bounds.shape[2] - 1
        found = np.full((clips, layers, groups, bands // groups * time, witnesses), -np.inf, np.float32)
        for layer in range(layers):
            unit = _unit(embeddings[:, layer].reshape(clips, groups, -1, values), self.floors[layer])
            for group in range(groups):
                for witness in range(witnesses):
                    for keys in self._keys(layer, group, witness):
                        for clip in range(clips):
                            best = found[clip, layer, group, :, witness]
                            np.maximum(best, _largest_cosines(unit[clip, group], keys), out=best)
        return found.reshape(clips, layers, bands, time, witnesses)

    def _keys(self, layer: int, group: int, witness: int) -> Iterator[FloatArray]:
        first, end = self.bounds[layer, group, witness : witness + 2].tolist()
        for start in range(first, end, _KEYS):
            yield self.keys[start : min(start + _KEYS, end)].astype(np.float32)


class PatchMemory:
    """Cosine distances of patches to those of a few normal clips."""

    name = "patch_memory"
    letter = "A"
    view: View = "patches"
    encoder = ""
    extras: Extras = "noise_mixed"
    min_normals = 2

    def __init__(self, params: PatchMemoryParams) -> None:
        self.params = params
        self.max_normals = max(MAX_NORMALS, params.support)

    def fit(self, normals: Normals) -> PatchMemoryModel:
        """Fill the memory with the support and with noise-mixed copies of its recordings.

        Time grows with support times ``memory_patches``.
        """
        refuse_too_few(self, normals)
        return self._learn(normals).model

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of each normal by the memory without its recording.

        Of a single recording every clip counts as one, and copies, which may be of any of them, are left
        out. Where but one witness is left, what is usual is taken from all.
        """
        refuse_too_few(self, normals)
        learnt = self._learn(normals)
        scores = np.empty(len(normals))
        for row, cosines in enumerate(learnt.model.cosines(normals.embeddings)):
            unseen = learnt.unseen(str(learnt.support.names[row]))
            found = _distances(cosines[..., unseen]) / learnt.usual(unseen)[:, None]
            scores[row] = _upper_mean(found, self.params.upper_share)
        return scores

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> PatchMemoryModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        return PatchMemoryModel(
            tensors["keys"], tensors["bounds"], tensors["floors"], tensors["usual"], settings["upper_share"]
        )

    def _learn(self, normals: Normals) -> _Learnt:
        support = _support(normals, self.params.support)
        bands = normals.embeddings.shape[2]
        groups = bands if self.params.mode == "bandwise" else 1
        floors = _floors(normals.embeddings, support.rows)
        pieces = [_keys_of(clips, floors, groups, support.clips, self.params) for clips in support.parts()]
        bounds, keys = _joined(pieces, (len(floors), groups))
        model = PatchMemoryModel(keys, bounds, floors, np.ones(bands, np.float32), self.params.upper_share)
        learnt = _Learnt(support, model)
        if self.params.mode == "faithful":
            return learnt
        learnt = replace(learnt, cosines=list(model.cosines(normals.embeddings[support.rows])))
        usual = learnt.usual(range(len(support.order)))
        return replace(learnt, model=replace(model, usual=usual))


@dataclass(frozen=True)
class _Support:
    """The normals that fill the memory: their ``rows``, and the witness of every normal, ``names`` (n,).

    Of ``copies`` only those made of the support's recordings are left. With ``shared`` they belong to no
    witness, and lie in the memory behind all of them.
    """

    normals: Normals
    rows: npt.NDArray[np.intp]
    names: Strings
    copies: Normals | None
    shared: bool

    @property
    def order(self) -> list[str]:
        """The witnesses as they lie in the memory."""
        return list(dict.fromkeys(self.names[self.rows].tolist()))

    @property
    def clips(self) -> int:
        """Clips in the memory, copies included."""
        return len(self.rows) + (len(self.copies) if self.copies else 0)

    def parts(self) -> Iterator[FloatArray]:
        """The clips (k, layers, bands, time, values) of each witness, and then the shared copies."""
        for name in self.order:
            own = self.normals.embeddings[self.rows[self.names[self.rows] == name]]
            if self.copies and not self.shared:
                own = np.concatenate([own, self.copies.embeddings[self.copies.recordings == name]])
            yield own
        if self.copies and self.shared:
            yield self.copies.embeddings


@dataclass(frozen=True)
class _Learnt:
    """A model, and the largest cosines of the support's clips by which it may be taken apart again."""

    support: _Support
    model: PatchMemoryModel
    cosines: list[FloatArray] = field(default_factory=list)

    def unseen(self, name: str) -> list[int]:
        """Places of the witnesses that know nothing of a witness's clips."""
        return [place for place, other in enumerate(self.support.order) if other != name]

    def usual(self, places: Collection[int]) -> FloatArray:
        """Mean distance (bands,) of the clips of the witnesses at these places, each to the other witnesses."""
        own = [self.support.order.index(name) for name in self.support.names[self.support.rows].tolist()]
        means = [
            _distances(cosines[..., [place for place in places if place != mine]]).mean(axis=1)
            for mine, cosines in zip(own, self.cosines, strict=False)
            if mine in places and len(places) > 1
        ]
        if not means:
            return self.model.usual
        usual = np.mean(means, axis=0)
        least = max(_LEAST_SHARE * float(usual.mean()), _LEAST)
        floored: FloatArray = np.maximum(usual, least).astype(np.float32)
        return floored


def support_rows(domains: Strings, recordings: Strings, most: int) -> npt.NDArray[np.intp]:
    """Rows, ascending, of the normals that fill the memory.

    Target before source; where a domain has too many, evenly spread over its clips in the order of their
    recordings. At least two recordings are among them, if there are two.
    """
    number = {name: place for place, name in enumerate(dict.fromkeys(recordings.tolist()))}
    order = np.argsort([number[name] for name in recordings.tolist()], kind="stable")
    chosen: list[int] = []
    for is_target in (True, False):
        rows = order[(domains[order] == TARGET) == is_target]
        count = min(len(rows), most - len(chosen))
        places = np.linspace(0, max(len(rows) - 1, 0), count).round().astype(np.intp)
        chosen += rows[places].tolist()
    if len(number) > 1 and len(set(recordings[chosen].tolist())) == 1:
        chosen[-1] = int(np.flatnonzero(recordings != recordings[chosen[0]])[0])
    return np.sort(np.array(chosen))


def _support(normals: Normals, most: int) -> _Support:
    rows = support_rows(normals.domains, normals.recordings, most)
    alone = len(set(normals.recordings.tolist())) == 1
    names = np.arange(len(normals)).astype(np.str_) if alone else normals.recordings
    copies = normals.extra
    if copies is not None:
        copies = copies.chosen(np.isin(copies.recordings, normals.recordings[rows]))
    return _Support(normals, rows, names, copies, shared=alone)


def _floors(embeddings: FloatArray, rows: npt.NDArray[np.intp]) -> FloatArray:
    """Norms (layers,) below which a patch is silent."""
    means = [_norms(embeddings[row].astype(np.float32)).mean(axis=(1, 2), dtype=np.float64) for row in rows]
    floors: FloatArray = (_SILENT * np.mean(means, axis=0)).astype(np.float32)
    return floors


def _keys_of(clips: FloatArray, floors: FloatArray, groups: int, of_all: int, params: PatchMemoryParams) -> _Keys:
    """A witness's part of the memory by layer and group: its share of ``memory_patches``, as its clips' of all."""
    most = max(1, params.memory_patches * len(clips) // (of_all * groups))
    values = clips.shape[-1]
    found: _Keys = {}
    for layer, floor in enumerate(floors):
        by_group = clips[:, layer].reshape(len(clips), groups, -1, values)
        for group in range(groups):
            unit = _unit(by_group[:, group].reshape(-1, values), floor)
            found[layer, group] = unit[k_center(unit, most, params.projection, params.seed)].astype(np.float16)
    return found


def _joined(pieces: list[_Keys], shape: tuple[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]:
    """Bounds and rows of the parts of all witnesses, one behind the other within a layer and group."""
    ordered = [piece[place[0], place[1]] for place in np.ndindex(*shape) for piece in pieces]
    edges = np.cumsum([0, *map(len, ordered)])
    starts, ends = (part.reshape(*shape, len(pieces)) for part in (edges[:-1], edges[1:]))
    return np.concatenate([starts[..., :1], ends], axis=2).astype(np.int64), np.concatenate(ordered)


def _norms(patches: FloatArray) -> FloatArray:
    norms: FloatArray = np.sqrt(np.einsum("...v,...v->...", patches, patches))
    return norms


def _unit(patches: FloatArray, floor: float) -> FloatArray:
    """Patches (..., values) as unit vectors (..., values + 1) in single precision.

    The last value is 1 for silent patches and 0 for others. So one silent patch is like another and unlike
    every other; without it silence would be unlike itself.
    """
    unit = np.zeros((*patches.shape[:-1], patches.shape[-1] + 1), np.float32)
    unit[..., :-1] = patches
    with np.errstate(invalid="ignore", over="ignore"):
        norms = _norms(unit)
        silent = norms <= floor
        unit /= np.where(silent, np.float32(np.inf), norms)[..., None]
    unit[silent, -1] = 1
    return unit


def _distances(cosines: FloatArray) -> FloatArray:
    """The map (bands, time) of largest cosines (layers, bands, time, witnesses)."""
    distances = np.maximum(1 - cosines.max(axis=-1), 0)
    mean: FloatArray = distances.mean(axis=0)
    return mean


def _upper_mean(found: FloatArray, share: float) -> float:
    """Mean of the upper share of a map, at least of one value; NaN where the map holds any."""
    values = found.ravel()
    rest = len(values) - max(1, round(share * len(values)))
    return float(np.partition(values, rest)[rest:].mean(dtype=np.float64))


def _largest_cosines(queries: FloatArray, keys: FloatArray) -> FloatArray:
    """The largest product (p,) of each of the unit vectors (p, d) with any of keys (m, d)."""
    if _has_bfloat16():
        return _largest_cosines_bfloat16(queries, keys)
    largest: FloatArray = (queries @ keys.T).max(axis=1)
    return largest


def _largest_cosines_bfloat16(queries: FloatArray, keys: FloatArray) -> FloatArray:
    """The same where the processor multiplies bfloat16: that finds the key, single precision takes the cosine."""
    import torch

    of_queries, of_keys = (torch.from_numpy(values).bfloat16() for values in (queries, keys))
    nearest = (of_queries @ of_keys.T).argmax(dim=1).numpy()
    largest: FloatArray = np.einsum("pd,pd->p", queries, keys[nearest])
    return largest


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; read without torch, which takes seconds to import."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags)
