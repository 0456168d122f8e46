"""Which architecture reads a checkpoint."""

from __future__ import annotations

from alp_assets.encoders.ast import ast_plan
from alp_assets.encoders.beats import beats_plan
from alp_assets.encoders.checkpoint import AST, BEATS, Checkpoint
from alp_assets.encoders.trunk import Plan
from alp_assets.encoders.waveform import waveform_plan


def plan_of(checkpoint: Checkpoint) -> Plan:
    """What a checkpoint's configuration says; ``WeightsMissing`` where that is impossible."""
    if checkpoint.architecture == AST:
        return ast_plan(checkpoint)
    return beats_plan(checkpoint) if checkpoint.architecture == BEATS else waveform_plan(checkpoint)
