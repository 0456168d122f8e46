"""Which engine a section gets, and why."""

from __future__ import annotations

from dataclasses import dataclass

from alp_assets.engines.base import Engine
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.params import ModelParams


@dataclass(frozen=True)
class Choice:
    """An engine and the reason for it, in words for people."""

    engine: Engine
    reason: str


def choose_engine(params: ModelParams, source_normals: int, target_normals: int) -> Choice:
    """The engine that the parameters name, or with ``auto`` the one that the amount of data allows."""
    if params.engine != "auto":
        return Choice(make_engine(params.engine, params), f"{params.engine} was asked for")
    amount = f"{target_normals} target and {source_normals} source normals"
    return Choice(
        make_engine("memory_bank", params),
        f"nearest neighbours need no training and work with few normals (here {amount})",
    )


def make_engine(name: str, params: ModelParams) -> Engine:
    """The engine of a name; ``KeyError`` for one that this version does not have."""
    return {"memory_bank": lambda: MemoryBank(params.memory_bank)}[name]()
