"""ALP's own encoder: pretrained on synthesized machine sound, its weights part of the package.

Beside log-mel statistics stand the clip embeddings of a small convolutional network (``conv_network``). The first
tell most of clean recordings and of short events, the second under noise and in new conditions; engine B weighs
the two for each section. How the weights came about is in their card, ``shipped/alp_conv.json``;
``alp pretrain`` makes others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.features import log_mel
from alp_assets.encoders.base import Sound, View
from alp_assets.encoders.device import one_thread
from alp_assets.encoders.logmel import frames_of_clip, repeated, statistics
from alp_assets.errors import WeightsMissing
from alp_assets.files import read_json, sha256_of
from alp_assets.params import LogmelParams

if TYPE_CHECKING:
    from alp_assets.encoders.conv_network import ConvNetwork

WEIGHTS_FILE, CARD_FILE = "alp_conv.safetensors", "alp_conv.json"
SHIPPED = Path(__file__).with_name("shipped")

_PATCH_STAGES = 3
"""Stages whose grid makes the patches: a grid of 16 bands, each patch of which hears about half a second."""


class AlpConvEncoder:
    """Log-mel statistics and what the network makes of the same spectrogram.

    ``pooled`` is (2, bands, values): the statistics of ``logmel``, then the clip embedding, which has no bands
    and fills the same shape. ``patches`` is (1, bands / 8, frames / 8, values), the grid of the third stage over
    ten seconds, a shorter clip repeated from its start. Clips go through the network one by one, each in the
    thread that calls, so a clip's numbers depend neither on others nor on the processors; many threads may call.
    """

    name = "alp_conv"

    def __init__(self, folder: Path = SHIPPED) -> None:
        self.card = _read_card(folder)
        self.scale = LogmelParams.model_validate(self.card["log_mel"])
        self._network = _network(folder, self.card)

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """The shapes of one clip's embeddings."""
        shape = self.card["architecture"]
        frames = frames_of_clip(self.scale)
        for _ in range(_PATCH_STAGES):
            frames = (frames + 1) // 2
        bands, values = shape["bands"] // 2**_PATCH_STAGES, shape["channels"] * 2 ** (_PATCH_STAGES - 1)
        return {
            "pooled": (2, shape["bands"], 2 + len(self.scale.quantiles)),
            "patches": (1, bands, frames, values),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        return {"weights_sha256": self.card["sha256"], "log_mel": self.scale.model_dump(mode="json")}

    def encode(self, sounds: Sequence[Sound], views: Sequence[View]) -> dict[View, FloatArray]:
        """Each of the views, of one spectrogram for all of them."""
        import torch

        found: dict[View, list[FloatArray]] = {view: [] for view in views}
        for sound in sounds:
            bands = log_mel(sound.samples, self.scale)
            with one_thread(), torch.inference_mode():
                for view in views:
                    found[view].append(self._view(bands, view))
        return {
            view: np.stack(values) if values else np.zeros((0, *self.views[view]), np.float32)
            for view, values in found.items()
        }

    def _view(self, bands: FloatArray, view: View) -> FloatArray:
        import torch

        if view == "pooled":
            deepest = self._network.grid(torch.from_numpy(bands.astype(np.float32))[None])
            learned: FloatArray = self._network.embed(deepest)[0].numpy()
            counted = statistics(bands, self.scale.quantiles)
            return np.stack([counted, learned.reshape(counted.shape)])
        whole = repeated(bands, frames_of_clip(self.scale))
        grid = self._network.grid(torch.from_numpy(whole)[None], _PATCH_STAGES)
        patches: FloatArray = grid.permute(0, 2, 3, 1).numpy()
        return patches


@lru_cache(maxsize=1)
def shipped_encoder() -> AlpConvEncoder:
    """The encoder with the weights that ALP comes with; loaded once."""
    return AlpConvEncoder()


def _read_card(folder: Path) -> dict[str, Any]:
    """The card, checked against the weights beside it."""
    try:
        card: dict[str, Any] = read_json(folder / CARD_FILE)
        found = sha256_of(folder / WEIGHTS_FILE)
        expected = card["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise WeightsMissing(
            f"{folder}: the weights of alp_conv are not there or damaged ({error}). Install ALP again, or train "
            "them with `alp pretrain`; `embeddings.encoder: logmel` does without."
        ) from error
    if found != expected:
        raise WeightsMissing(
            f"{folder / WEIGHTS_FILE}: not the weights that the card describes. Install ALP again, or train them "
            "with `alp pretrain`."
        )
    return card


def _network(folder: Path, card: dict[str, Any]) -> ConvNetwork:
    from safetensors.torch import load_file

    from alp_assets.encoders.conv_network import ConvNetwork, folded

    network = ConvNetwork(**card["architecture"])
    tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()}
    missing, unknown = network.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.startswith("projection.") and "num_batches" not in name]
    if missing or unknown:
        raise WeightsMissing(
            f"{folder / WEIGHTS_FILE}: not weights of alp_conv; {', '.join((*missing, *unknown))} do not fit."
        )
    return folded(network)
