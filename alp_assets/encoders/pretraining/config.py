"""What a pretraining is made of. ALP comes with ``cpu.toml`` and ``gpu.toml`` beside this file."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alp_assets.errors import ParameterError

Range = tuple[float, float]


class PretrainConfig(BaseModel):
    """One pretraining; the same configuration, seed and device give the same weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    rounds: int = Field(gt=0, description="times that fresh machines are drawn")
    steps: int = Field(gt=0, description="optimiser steps of a round")
    machines: int = Field(ge=8, description="machines of a round, each with an altered sibling")
    renderings: int = Field(default=3, ge=2, description="of each machine and of each sibling")
    batch: int = Field(ge=4, multiple_of=2, description="machines in a step")
    crop: int = Field(default=64, ge=16, description="frames of a training view")
    channels: int = Field(default=16, gt=0, description="of the first stage")
    width: int = Field(default=768, gt=0, description="values of a clip embedding")
    projected: int = Field(default=128, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    temperature: float = Field(default=0.1, gt=0)
    noisy: Annotated[float, Field(ge=0, le=1)] = 0.8
    noise_db: Range = (-5.0, 15.0)
    siblings: bool = Field(default=False, description="a machine beside its altered sibling in one step")
    both_noisy: bool = Field(default=False, description="noise in both views of a pair, not in one of them")
    equaliser_db: float = Field(default=2.0, ge=0, description="deviation of a view's spectral colour")
    floor_db: Range = (25.0, 70.0)

    @property
    def total_steps(self) -> int:
        """Steps of all rounds."""
        return self.rounds * self.steps


def read_config(name: str) -> PretrainConfig:
    """A configuration that ALP comes with (``cpu``, ``gpu``), or one from a TOML file.

    Raises:
        ParameterError: no such file, or one that cannot be used; the text names the setting.
    """
    own = resources.files(__package__).joinpath(f"{name}.toml")
    path = Path(name)
    if not path.suffix and own.is_file():
        text = own.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise ParameterError(f"--config {name}: no such file. Write cpu, gpu, or the path of a TOML file.")
    try:
        return PretrainConfig.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ParameterError(f"--config {name}: {error}") from error
