"""Embeddings laid out on a plane, so that people see which clips are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Plane:
    """Places (n, 2) of n clips, and the shares of the variance that the two axes hold."""

    places: NDArray[np.float64]
    shares: tuple[float, float]


def plane_of(embeddings: NDArray[np.floating]) -> Plane | None:
    """The first two principal components of embeddings (n, ...); None where fewer than three clips differ.

    The same embeddings give the same places: of each axis the clip that is farthest out lies on the positive side.
    """
    if len(embeddings) < 3 or not np.isfinite(embeddings).all():
        return None
    values = np.asarray(embeddings, dtype=np.float64).reshape(len(embeddings), -1)
    centred = values - values.mean(axis=0)
    # of the two square matrices with the same eigenvalues the smaller one
    small = len(centred) <= centred.shape[1]
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T if small else centred.T @ centred)
    spread = np.maximum(eigenvalues[::-1], 0)
    if len(spread) < 2 or spread[0] <= 1e-12 * max(float(np.square(values).sum()), 1e-300):
        return None
    axes = vectors[:, ::-1][:, :2]
    places = axes * np.sqrt(spread[:2]) if small else centred @ axes
    farthest = places[np.abs(places).argmax(axis=0), [0, 1]]
    shares = spread[:2] / spread.sum()
    return Plane(places * np.where(farthest < 0, -1.0, 1.0), (float(shares[0]), float(shares[1])))
