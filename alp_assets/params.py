"""Every parameter that a user may tune: one typed tree, validated once, recorded in every model card.

Values come from a YAML file: ``$ALP_PARAMS``, else ``params.yaml`` in the data root, else the
``params.yaml`` of the checkout, else the defaults here. Unknown names are errors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alp_assets.errors import ParameterError

PROJECT = Path(__file__).resolve().parent.parent


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UploadParams(_Group):
    """Limits of the archive: what exceeds them is refused before anything is unpacked."""

    max_entries: int = Field(default=200_000, gt=0)
    max_total_bytes: int = Field(default=200 * 2**30, gt=0, description="sum of unpacked sizes")
    max_entry_bytes: int = Field(default=8 * 2**30, gt=0)
    max_ratio: float = Field(default=200.0, gt=1, description="unpacked to packed size")
    ratio_from_bytes: int = Field(
        default=64 * 2**20,
        gt=0,
        description="entries and packages that unpack to less may have any ratio: digital silence packs 1000 to 1",
    )


class QualityParams(_Group):
    """When a recording is set aside, and what is only warned of. Levels are dBFS of a full-scale square."""

    min_duration_s: float = Field(default=1.0, gt=0)
    max_duration_s: float = Field(default=4 * 3600.0, gt=0)
    min_sample_rate_hz: int = Field(default=8_000, gt=0)
    max_channels: int = Field(default=64, gt=0)
    silence_dbfs: float = Field(default=-85.0, lt=0, description="a 50 ms frame below this is silent")
    max_silence_ratio: float = Field(default=0.9, ge=0, le=1)
    max_clipping_ratio: float = Field(default=0.01, ge=0, le=1)
    max_dropout_ratio: float = Field(default=0.1, ge=0, le=1, description="time inside runs of exact zeros")
    dropout_run_s: float = Field(default=0.01, gt=0, description="exact zeros at least this long are a dropout")
    max_dc_offset: float = Field(default=0.1, ge=0, le=1)
    warn_bandwidth_hz: float = Field(default=7_000.0, gt=0, description="less looks like a lossy or 8 kHz source")
    data_docs: bool = Field(default=True, description="write Great Expectations' Data Docs into quality/")


class ClipParams(_Group):
    """The standard form of a clip. Sample rate and length are fixed by the contract."""

    channel: Annotated[int, Field(ge=1)] | Literal["average"] = Field(
        default=1, description="which microphone, counted from 1"
    )
    min_seconds: float = Field(default=1.0, gt=0, le=10, description="shorter remainders are left out")


class LogmelParams(_Group):
    """Log-mel statistics of a clip; lengths in samples at 16 kHz."""

    n_mels: int = Field(default=128, gt=0)
    n_fft: int = Field(default=2048, gt=0)
    hop_length: int = Field(default=512, gt=0)
    fmin_hz: float = Field(default=0.0, ge=0)
    fmax_hz: float = Field(default=8_000.0, gt=0)
    upper_quantile: float = Field(default=0.95, gt=0.5, lt=1)


class EmbeddingParams(_Group):
    """Which encoder turns clips into embeddings, and its settings."""

    encoder: Literal["logmel"] = "logmel"
    logmel: LogmelParams = LogmelParams()


class MemoryBankParams(_Group):
    """Nearest neighbours over a source and a target bank."""

    k: int = Field(default=1, gt=0, description="neighbours whose mean distance is taken")


class ModelParams(_Group):
    """Which engine a section gets, and its settings."""

    engine: Literal["auto", "memory_bank"] = "auto"
    min_normals: int = Field(default=2, ge=2)
    memory_bank: MemoryBankParams = MemoryBankParams()


class DecisionParams(_Group):
    """Where the alarm threshold lies."""

    false_alarm_rate: float = Field(default=0.1, gt=0, lt=1, description="share of normal clips that may ring")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of printed intervals")


class ReportParams(_Group):
    """What the report shows."""

    top_clips: int = Field(default=3, ge=0, le=20, description="most anomalous clips shown for each section")


class VersionParams(_Group):
    """Snapshots of finished packages with DVC."""

    enabled: bool = True
    push: bool = Field(default=True, description="push when the repository has a default remote")


class RunParams(_Group):
    """How the work is spread on this machine."""

    workers: int = Field(default=0, ge=0, description="threads; 0 means one for each core")

    @property
    def threads(self) -> int:
        """How many threads to use."""
        return self.workers or len(os.sched_getaffinity(0))


class ReferencePackage(_Group):
    """A package that `dvc repro` works through."""

    customer: str
    package: str


class Params(_Group):
    """The whole tree."""

    packages: dict[str, ReferencePackage] = {}
    synth: dict[str, Any] = {}
    upload: UploadParams = UploadParams()
    quality: QualityParams = QualityParams()
    clips: ClipParams = ClipParams()
    embeddings: EmbeddingParams = EmbeddingParams()
    models: ModelParams = ModelParams()
    decision: DecisionParams = DecisionParams()
    report: ReportParams = ReportParams()
    versioned: VersionParams = VersionParams()
    run: RunParams = RunParams()


def load_params(data_root: Path) -> Params:
    """Read the parameters that hold for a data root; see the module's text for where they come from."""
    chosen = os.environ.get("ALP_PARAMS")
    places = [Path(chosen)] if chosen else [data_root / "params.yaml", PROJECT / "params.yaml"]
    for place in places:
        if place.is_file():
            return read_params(place)
    if chosen:
        raise ParameterError(f"{chosen}: no such file. ALP_PARAMS must name a YAML file of parameters.")
    return Params()


def with_overrides(params: Params, overrides: Mapping[str, Any]) -> Params:
    """The parameters with some values replaced, by dotted name: ``{"models.engine": "memory_bank"}``."""
    tree = params.model_dump()
    for name, value in overrides.items():
        *groups, last = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.get(group, {}) if isinstance(branch, dict) else {}
        if not isinstance(branch, dict) or last not in branch:
            raise ParameterError(f"{name}: there is no such parameter; params.yaml shows them all.")
        branch[last] = value
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ParameterError(_findings(error)) from error


def _findings(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())


def read_params(path: Path) -> Params:
    """Read one YAML file. Unknown names and impossible values are a ``ParameterError`` that lists them."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Params.model_validate(tree)
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not UTF-8 text. Save the file as UTF-8.") from error
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not readable as YAML: {error}") from error
    except ValidationError as error:
        raise ParameterError(f"{path}: {_findings(error)}") from error
