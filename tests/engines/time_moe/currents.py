"""Currents for tests of the engines for signals."""

from __future__ import annotations

import numpy as np

from alp_assets.engines.base import Normals


def currents(n, seed=0, points=600, channels=3, ripple=0.0):
    """Recordings (n, channels, points) of a mains current with phases a third apart, and some noise."""
    rng = np.random.default_rng(seed)
    time, shift = np.arange(points) * 0.06, np.arange(channels)[None, :, None] / 3
    phase = rng.uniform(0, 1, (n, 1, 1)) - shift
    clean = 2 * np.sin(2 * np.pi * (time + phase)) + ripple * np.sin(2 * np.pi * (3.3 * time + phase))
    return (clean + rng.normal(0, 0.05, (n, channels, points))).astype(np.float32)


def normals_of(values):
    return Normals(values, np.array((["source", "target"] * len(values))[: len(values)], dtype="<U6"))
