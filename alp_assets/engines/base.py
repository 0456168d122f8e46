"""What every engine offers: fit on normals, score, save, load. Higher scores are more anomalous."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray

Scores = npt.NDArray[np.float64]

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class Normals:
    """What an engine learns from: embeddings (n, ...) of normal clips, the domain and recording of each (n,).

    Clips of one recording are no independent witnesses, so nothing that is to be unseen may have a sibling
    among what was seen. Without ``recordings`` every clip is one of its own.
    """

    embeddings: FloatArray
    domains: npt.NDArray[np.str_]
    recordings: npt.NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))

    def __post_init__(self) -> None:
        if not len(self.recordings):
            object.__setattr__(self, "recordings", np.arange(len(self.embeddings)).astype(np.str_))
        if len(self.embeddings) != len(self.domains):
            raise ValueError(f"{len(self.embeddings)} embeddings but {len(self.domains)} domains")
        if len(self.embeddings) != len(self.recordings):
            raise ValueError(f"{len(self.embeddings)} embeddings but {len(self.recordings)} recordings")
        if not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings of normals must be finite")

    def __len__(self) -> int:
        return len(self.embeddings)

    def chosen(self, rows: npt.NDArray[np.bool_]) -> Normals:
        """Some of the normals."""
        return Normals(self.embeddings[rows], self.domains[rows], self.recordings[rows])


class Model(Protocol):
    """A fitted engine. A clip gets the same score alone as among others."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        ...

    def score(self, embeddings: FloatArray) -> Scores:
        """Anomaly scores (n,) of embeddings (n, ...)."""
        ...

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The weights by name, as they go into ``model.safetensors``."""
        ...


class Engine(Protocol):
    """A way to learn normal. Parameters are set when it is made; ``fit`` leaves it as it was."""

    name: str
    letter: str
    min_normals: int

    def fit(self, normals: Normals) -> Model:
        """Learn from at least ``min_normals`` normals; ``TooFewNormals`` says how many are missing."""
        ...

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by what is learnt from the others alone."""
        ...

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> Model:
        """A model as ``tensors`` and ``settings`` describe it."""
        ...


MODEL_FILE = "model.safetensors"


def write_tensors(folder: Path, model: Model) -> Path:
    """Write a model's weights into a folder."""
    from safetensors.numpy import save_file

    path = folder / MODEL_FILE
    save_file({name: np.ascontiguousarray(value) for name, value in model.tensors().items()}, path)
    return path
