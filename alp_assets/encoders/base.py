"""What every encoder offers: waveforms in, embeddings out, frozen."""

from __future__ import annotations

from typing import Any, Protocol

from alp_assets.audio.decode import FloatArray


class Encoder(Protocol):
    """Turns standard clips into embeddings. The same clip gives the same embedding, alone or among others."""

    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one embedding."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the values, for model cards."""
        ...

    def encode(self, clips: list[FloatArray]) -> FloatArray:
        """Embeddings (len(clips), *shape) of recorded samples at 16 kHz, each clip (n,) of any length."""
        ...
