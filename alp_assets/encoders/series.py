"""The encoder of signals: the measured values themselves, without the channels that are masked.

Nothing is resampled or scaled. A machine has one sample rate, which its model card holds, and every engine learns
the scale of each channel from the machine's own normals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import SERIES, View
from alp_assets.params import SignalParams
from alp_assets.signals.roles import AXES, ROWS


class SeriesEncoder:
    """Rows (4, points) of a clip with the masked ones zeroed; see ``signals.roles.ROWS`` for their order."""

    name = SERIES

    def __init__(self, params: SignalParams) -> None:
        self.params = params

    @property
    def views(self) -> Mapping[View, tuple[int, ...]]:
        """Only the series."""
        return {"frames": (len(ROWS), self.params.clip_points)}

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values."""
        return {
            "points": self.params.clip_points,
            "rows": list(ROWS),
            "masked": sorted(set(self.params.masked)),
            "sample_rate": "as recorded",
        }

    def encode(self, clips: Sequence[tuple[FloatArray, str]], views: Sequence[View]) -> dict[View, FloatArray]:
        """Clips (4, points), each with its modality, as (n, 4, points)."""
        found = np.stack([clip for clip, _ in clips])
        for row, (_, modality) in zip(found, clips, strict=True):
            row[self._hidden(modality)] = 0.0
        return dict.fromkeys(views, found)

    def _hidden(self, modality: str) -> list[int]:
        """The rows that are masked. Flux is no addition where nothing else was measured."""
        if modality == "flux":
            return []
        roles = AXES if modality == "vibration" else ROWS
        return [row for row, role in enumerate(roles) if role in self.params.masked]
