"""What every engine offers: fit on normals, score, save, load. Higher scores are more anomalous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.errors import TooFewNormals

Scores = npt.NDArray[np.float64]

SOURCE, TARGET = "source", "target"


Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Normals:
    """What an engine learns from: embeddings (n, ...) of normal clips, the domain and recording of each (n,).

    Clips of one recording are no independent witnesses, so nothing that is to be unseen may have a sibling
    among what was seen. Without ``recordings`` every clip is one of its own.

    ``conditions`` holds columns of the contract (n,), empty text where nothing was said. ``extra`` are
    clips that may help to learn and are no normals of the section as it is: see ``Engine.extras``. They carry
    the recording that they were made of, so what must be left out is left out there too.
    """

    embeddings: FloatArray
    domains: Strings
    recordings: Strings = field(default_factory=lambda: np.zeros(0, np.str_))
    conditions: Mapping[str, Strings] = field(default_factory=dict)
    extra: Normals | None = None

    def __post_init__(self) -> None:
        if not len(self.recordings):
            object.__setattr__(self, "recordings", np.arange(len(self.embeddings)).astype(np.str_))
        columns = {"domains": self.domains, "recordings": self.recordings, **self.conditions}
        for name, values in columns.items():
            if len(self.embeddings) != len(values):
                raise ValueError(f"{len(self.embeddings)} embeddings but {len(values)} {name}")
        # Recordings in a store were looked at when they were stored.
        if isinstance(self.embeddings, np.ndarray) and not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings of normals must be finite")

    def __len__(self) -> int:
        return len(self.embeddings)

    def chosen(self, rows: npt.NDArray[np.bool_]) -> Normals:
        """Some of the normals, rows (n,), without what was made of recordings that lost all their rows."""
        lost = set(self.recordings[~rows].tolist()) - set(self.recordings[rows].tolist())
        extra = self.extra
        if extra is not None:
            extra = extra.chosen(~np.isin(extra.recordings, sorted(lost)))
        conditions = {name: values[rows] for name, values in self.conditions.items()}
        return Normals(self.embeddings[rows], self.domains[rows], self.recordings[rows], conditions, extra)


Grade = Literal["warning", "critical"]


@dataclass(frozen=True)
class Finding:
    """A rule that a clip broke: its slug in ``rules.CAUSES``, what was measured and the limit of its grade.

    Both figures are in ``unit``, which may name a frequency.
    """

    cause: str
    measured: float
    limit: float
    unit: str
    grade: Grade = "warning"


@dataclass(frozen=True)
class Evidence:
    """Why a clip got its score: where in it (bands, time), and what was found, if the engine can tell."""

    map: FloatArray | None = None
    findings: tuple[Finding, ...] = ()


class Model(Protocol):
    """A fitted engine. A clip gets the same score alone as among others."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        ...

    def score(self, embeddings: FloatArray) -> Scores:
        """Anomaly scores (n,) of embeddings (n, ...)."""
        ...

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The evidence (n) behind the scores of embeddings (n, ...)."""
        ...

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The weights by name, as they go into ``model.safetensors``."""
        ...


Extras = Literal["", "noise_mixed", "other_sections"]


class Engine(Protocol):
    """A way to learn normal. Parameters are set when it is made; ``fit`` leaves it as it was.

    ``encoder`` is the one that it needs, or empty when any that offers ``view`` will do. ``max_normals`` is
    the most that it makes use of. ``extras`` says which clips it wants as ``Normals.extra``: noise-mixed
    copies of the section's normals, or normals of the customer's other sections of the machine type.
    """

    name: str
    letter: str
    view: View
    encoder: str
    extras: Extras
    min_normals: int
    max_normals: int

    def fit(self, normals: Normals) -> Model:
        """Learn from at least ``min_normals`` normals; ``TooFewNormals`` says how many are missing."""
        ...

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of the normals, each by what is learnt from the others alone."""
        ...

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> Model:
        """A model as ``tensors`` and ``settings`` describe it."""
        ...


def refuse_too_few(engine: Engine, normals: Normals) -> None:
    """``TooFewNormals`` when an engine cannot learn from so few."""
    if len(normals) < engine.min_normals:
        raise TooFewNormals(
            f"{len(normals)} normal clip{'s' * (len(normals) != 1)}, and {engine.name} needs at least "
            f"{engine.min_normals} (3 to 10 for a usable threshold). Send more normal recordings."
        )


MODEL_FILE = "model.safetensors"


def write_tensors(folder: Path, model: Model) -> Path:
    """Write a model's weights into a folder."""
    from safetensors.numpy import save_file

    path = folder / MODEL_FILE
    save_file({name: np.ascontiguousarray(value) for name, value in model.tensors().items()}, path)
    return path
