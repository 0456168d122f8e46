"""Frozen transformers from checkpoints, as encoders: ``ast``, ``beats`` and ``hf:<model>``.

Local features of the intermediate layers are what anomalies are found with (Wu et al., Interspeech 2025;
GenRep, arXiv 2409.05035): the last layers tell sounds apart by name, the ones before by how they sound.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import CLIP_SAMPLES
from alp_assets.encoders.base import Encoder, Sound, View, dtype_of
from alp_assets.encoders.checkpoint import AST, BEATS, Checkpoint, read_checkpoint
from alp_assets.encoders.device import clips_at_a_time, place
from alp_assets.encoders.plans import plan_of
from alp_assets.encoders.weights import download, find_weights
from alp_assets.errors import ParameterError, WeightsMissing
from alp_assets.params import PretrainedParams

if TYPE_CHECKING:
    from torch import Tensor

_ARCHITECTURE = {"ast": AST, "beats": BEATS}
_loading = threading.Lock()
"""Loading changes settings of transformers and torch for a while: sections in several threads take turns."""

_DEFAULT_POOLED = PretrainedParams().pooled_layers
_LARGEST_HALF = float(np.finfo(np.float16).max)


def make_pretrained(name: str, params: PretrainedParams, data_root: Path) -> Encoder:
    """The encoder of a name, its weights read and checked; fetched from the hub when they are nowhere here.

    Raises:
        WeightsMissing: the weights are not to be had, damaged, or of another architecture.
        ParameterError: the parameters ask for layers that the model does not have.
    """
    found = read_checkpoint(find_weights(name, params, data_root) or download(name, params, data_root))
    expected = _ARCHITECTURE.get(name, found.architecture)
    if found.architecture != expected:
        raise WeightsMissing(
            f"{found.path}: {name} takes a checkpoint of {expected}, and this is one of {found.architecture}. "
            f"Use it as hf:{found.path}, or name another folder."
        )
    with _loading:
        return _loaded(name, params, found.path, found.content_hash)


class PretrainedEncoder:
    """The layers of one checkpoint.

    ``patches`` is (layers, bands, time, values), float16; ``pooled`` is (bands, values), float32: the means
    over time of the pooled layers, one after the other. A checkpoint that lacks some of the default pooled
    layers has no ``pooled``. A sound shorter than ten seconds is repeated from its start. Batches are always
    full (a short one is filled up with its last sound), so that what else is encoded cannot change the order
    in which a clip's numbers are summed.
    """

    def __init__(self, name: str, params: PretrainedParams, checkpoint: Checkpoint) -> None:
        self.name = name
        self.plan = plan_of(checkpoint)
        depth = self.plan.depth
        self.layers = params.layers or tuple(range(1, max(depth, 2)))
        too_shallow = params.pooled_layers == _DEFAULT_POOLED and max(_DEFAULT_POOLED) > depth
        self.pooled_layers = () if too_shallow else params.pooled_layers
        _refuse_layers(name, depth, self.layers, "layers")
        if not too_shallow:
            _refuse_layers(name, depth, self.pooled_layers, "pooled_layers")
        self.placement = place(params.precision)
        self.batch = params.batch or clips_at_a_time(self.placement, self.plan.bytes_per_clip)
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        highest = max((*self.layers, *self.pooled_layers))
        self._trunk = self.plan.load(highest, self.placement, params.compile)

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """The shapes of one clip's embeddings."""
        bands, time = self.plan.grid
        values = self.plan.values
        shapes: dict[View, tuple[int, ...]] = {"patches": (len(self.layers), bands, time, values)}
        if self.pooled_layers:
            shapes["pooled"] = (bands, values * len(self.pooled_layers))
        return shapes

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        return {
            "architecture": self._checkpoint.architecture,
            "weights_sha256": self._checkpoint.content_hash,
            "layers": list(self.layers),
            "pooled_layers": list(self.pooled_layers),
            "precision": self.placement.precision,
            "features": self.plan.settings,
        }

    def encode(self, sounds: Sequence[Sound], views: Sequence[View]) -> dict[View, FloatArray]:
        """Each of the views; only layers up to the highest that they need are computed.

        Raises:
            ParameterError: the model has not the layers of a view.
        """
        if "pooled" in views and not self.pooled_layers:
            _refuse_layers(self.name, self.plan.depth, _DEFAULT_POOLED, "pooled_layers")
        found = {view: np.empty((len(sounds), *self.views[view]), dtype_of(view)) for view in views}
        wanted: set[int] = set()
        wanted |= set(self.layers) if "patches" in found else set()
        wanted |= set(self.pooled_layers) if "pooled" in found else set()
        for start in range(0, len(sounds), self.batch) if wanted else ():
            waves = np.stack([_ten_seconds(sound.samples) for sound in sounds[start : start + self.batch]])
            rows = {view: values[start : start + len(waves)] for view, values in found.items()}
            self._encode(waves, wanted, rows)
        return found

    def _encode(self, waves: FloatArray, wanted: Collection[int], rows: dict[View, FloatArray]) -> None:
        """One batch into its rows. Torch spreads it over the cores, so the stage's threads take turns."""
        import torch

        full = np.concatenate([waves, np.repeat(waves[-1:], self.batch - len(waves), axis=0)])
        with self._lock, torch.inference_mode():
            for layer, values in self._trunk.hidden(torch.from_numpy(full), wanted):
                self._keep(layer, values[: len(waves)], rows)

    def _keep(self, layer: int, values: Tensor, rows: dict[View, FloatArray]) -> None:
        import torch

        if "patches" in rows and layer in self.layers:
            half = values.clamp(-_LARGEST_HALF, _LARGEST_HALF).to(torch.float16).cpu().numpy()
            for position in _positions(self.layers, layer):
                rows["patches"][:, position] = half
        if "pooled" in rows and layer in self.pooled_layers:
            mean, width = values.float().mean(dim=2).cpu().numpy(), self.plan.values
            for position in _positions(self.pooled_layers, layer):
                rows["pooled"][:, :, position * width : (position + 1) * width] = mean


@lru_cache(maxsize=1)
def _loaded(name: str, params: PretrainedParams, path: Path, content_hash: str) -> PretrainedEncoder:
    """One encoder stays loaded, so that clips that come one by one do not each read its weights."""
    del content_hash
    return PretrainedEncoder(name, params, read_checkpoint(path))


def _refuse_layers(name: str, depth: int, layers: tuple[int, ...], parameter: str) -> None:
    outside = [layer for layer in layers if layer > depth]
    if outside or not layers:
        raise ParameterError(
            f"embeddings.pretrained.{parameter}: {name} has no layer {', '.join(map(str, outside))}; name layers "
            f"between 1 and {depth}."
            if outside
            else f"embeddings.pretrained.{parameter}: none; name layers of {name} between 1 and {depth}."
        )


def _positions(layers: tuple[int, ...], layer: int) -> list[int]:
    return [position for position, found in enumerate(layers) if found == layer]


def _ten_seconds(samples: FloatArray) -> FloatArray:
    return np.resize(samples[:CLIP_SAMPLES], CLIP_SAMPLES).astype(np.float32, copy=False)
