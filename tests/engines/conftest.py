from __future__ import annotations

import numpy as np
import pytest

from alp_assets.engines.base import Normals


@pytest.fixture
def embeddings():
    """Embeddings (n, 3, 37) around ``centre``; an odd width, so that rows lie at odd addresses."""

    def make(n, seed=0, centre=-60.0, deviation=2.0):
        return np.random.default_rng(seed).normal(centre, deviation, (n, 3, 37)).astype(np.float32)

    return make


@pytest.fixture
def normals(embeddings):
    """Normals of both domains, the target ones at other levels."""

    def make(source=20, target=5, seed=0):
        values = np.concatenate([embeddings(source, seed), embeddings(target, seed + 1, centre=-50.0)])
        return Normals(values, np.array(["source"] * source + ["target"] * target, dtype="<U6"))

    return make
