from __future__ import annotations

import pytest
import torch

from alp_assets.engines.time_moe.config import SHAPES, Shape
from alp_assets.engines.time_moe.model import new_network

SMALLEST = Shape(hidden=16, layers=2, heads=2, expert_width=8, shared_width=16)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network():
    """A fresh network of a seed."""

    def make(seed=0, shape=SMALLEST, **others):
        return new_network(SHAPES.get(shape, shape), torch.Generator().manual_seed(seed), **others)

    return make
