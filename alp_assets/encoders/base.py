"""What every encoder offers: recorded sound in, embeddings out, frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from alp_assets.audio.decode import FloatArray

View = Literal["pooled", "frames", "patches"]
"""How much of a clip an embedding keeps.

``pooled`` is (bands, values): time is averaged away, frequency bands are kept; of an encoder of several depths
it is (depths, bands, values), the first one being the plainest. ``frames`` is (bands, time), or of a signal
(channels, points).
``patches`` is (layers, bands, time, values): a grid of local features for each layer.
"""


@dataclass(frozen=True)
class Feature:
    """What an engine works on: one view of one encoder."""

    encoder: str
    view: View


@dataclass(frozen=True)
class Sound:
    """The recorded part of a clip: ``samples`` (n,) float32 at 16 kHz, full scale 1.0.

    ``db_8_10k`` and ``db_above_10k`` are the levels of what the original recording held in those bands
    (dBFS), or NaN where its sample rate did not reach there.
    """

    samples: FloatArray
    db_8_10k: float = float("nan")
    db_above_10k: float = float("nan")


class Encoder(Protocol):
    """Turns clips into embeddings. The same clip gives the same embedding, alone or among others."""

    name: str

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """The views that it offers, with the shape of one clip's embedding."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        ...

    def encode(self, sounds: Sequence[Sound], views: Sequence[View]) -> dict[View, FloatArray]:
        """Each of the views as (len(sounds), *shape); sounds may be of any length up to 10 s."""
        ...


SERIES = "series"
"""The encoder of signals, which keeps them as they were measured."""


def dtype_of(view: View, encoder: str = "") -> np.dtype[Any]:
    """How a view is kept on disk: large ones in half precision, but for measured values, which would overflow."""
    return np.dtype(np.float32 if view == "pooled" or encoder == SERIES else np.float16)
