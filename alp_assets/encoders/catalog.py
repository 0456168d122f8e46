"""The encoders that there are, by name."""

from __future__ import annotations

from pathlib import Path

from alp_assets.encoders.alp_conv import shipped_encoder
from alp_assets.encoders.base import Encoder
from alp_assets.encoders.descriptors import DescriptorEncoder
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.encoders.pretrained import make_pretrained
from alp_assets.encoders.weights import find_weights
from alp_assets.params import EmbeddingParams

BROUGHT, SHIPPED = "ast", "alp_conv"
"""The encoders that `auto` takes: the first where its weights were brought, else the one that ALP comes with."""


def resolve_encoder(params: EmbeddingParams, data_root: Path) -> str:
    """The encoder that the parameters name for engines A and B; ``auto`` is decided here."""
    if params.encoder != "auto":
        return params.encoder
    return BROUGHT if find_weights(BROUGHT, params.pretrained, data_root) else SHIPPED


def make_encoder(name: str, params: EmbeddingParams, data_root: Path) -> Encoder:
    """The encoder of a name.

    Raises:
        WeightsMissing: its weights are not at hand; the text names the ways to get them.
    """
    if name == "logmel":
        return LogmelEncoder(params.logmel)
    if name == "descriptors":
        return DescriptorEncoder()
    if name == "alp_conv":
        return shipped_encoder()
    return make_pretrained(name, params.pretrained, data_root)
