"""The encoders that there are, by name."""

from __future__ import annotations

from alp_assets.encoders.base import Encoder
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.params import EmbeddingParams


def make_encoder(params: EmbeddingParams) -> Encoder:
    """The encoder that the parameters name."""
    return LogmelEncoder(params.logmel)
