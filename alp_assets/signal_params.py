"""Parameters of the engines for signals: motor current, flux, vibration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Weight = Annotated[float, Field(ge=0)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TimeMoeParams(_Group):
    """Engine S1: Time-MoE, a forecaster with sparse experts that was trained on normal series alone."""

    size: Literal["tiny", "small", "base"] = Field(default="small", description="small takes minutes on two cores")
    weights: str = Field(default="", description="safetensors file or folder of Time-MoE-50M to begin with")
    window: int = Field(default=2048, ge=32, description="points; shorter recordings are one window each")
    stride: int = Field(default=0, ge=0, description="points between training windows; 0 means half a window")
    context: int = Field(default=64, ge=0, description="first points of a window, whose forecasts do not count")
    scaling: Literal["section", "recording"] = Field(
        default="section", description="recording: every series by its own amplitude, which then tells nothing"
    )
    steps: int = Field(default=0, ge=0, description="of the optimiser; 0 leaves it to the size")
    batch: int = Field(default=0, ge=0, description="windows at a time; 0 leaves it to the size")
    accumulation: int = Field(default=0, ge=0, description="batches to a step; 0 leaves it to the size")
    learning_rate: float = Field(default=0.0, ge=0, le=1, description="0 leaves it to the size")
    horizon_weights: tuple[_Weight, _Weight, _Weight, _Weight] = Field(
        default=(1.0, 1.0, 1.0, 1.0), description="of the errors 1, 8, 32 and 64 points ahead"
    )
    latent_weight: float = Field(
        default=0.1, ge=0, description="of the distance of hidden states from normal ones"
    )
    distance: Literal["mahalanobis", "euclidean", "cosine"] = "mahalanobis"
    relative: bool = Field(default=True, description="errors and distances in units of what normals have")
    upper_share: float = Field(default=0.25, gt=0, le=1, description="share of windows that make the score")
    calibration_folds: int = Field(default=3, ge=2, description="trainings for calibration, at most")
    calibration_share: float = Field(default=0.5, gt=0, le=1, description="of the steps, in those trainings")
    threshold_on: Literal["labels", "normals"] = Field(
        default="labels", description="labels: highest F0.5 on recordings for validation, where there are any"
    )
    heartbeat_hours: float = Field(default=3.0, gt=0, description="of training between two looks at the whole")
    heartbeat_steps: int = Field(default=0, ge=0, description="steps between them, before the hours; 0 means none")
    heartbeat_points: int = Field(
        default=0, ge=0, description="points learnt from, before the hours; 0 means none"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    eight_bit: bool = Field(default=False, description="optimiser in 8 bits, where a GPU and bitsandbytes are")
    max_normals: int = Field(default=100_000, ge=2, description="most clips that are trained on, read from disk")
    calibration_clips: int = Field(default=2_000, ge=2, description="most clips of a domain that calibrate")
    seed: int = 42


class SignalPcaParams(_Group):
    """Control S2: what principal components of windows leave unexplained."""

    window: int = Field(default=256, ge=4, le=4096, description="points; all channels make one vector")
    explained: float = Field(default=0.99, gt=0, lt=1, description="share of the variance that components keep")
    upper_share: float = Field(default=0.25, gt=0, le=1, description="share of windows that make the score")
    max_normals: int = Field(default=2_000, ge=2)
    seed: int = 42


class SignalSpectrumParams(_Group):
    """Control S3: mains harmonics and sidebands, and how far they lie from those of normals."""

    harmonics: int = Field(default=13, gt=0, description="of the mains, as many as the sample rate allows")
    window: int = Field(default=0, ge=0, description="points of a spectrum; 0 means the whole recording")
    upper_share: float = Field(default=0.25, gt=0, le=1, description="share of windows that make the score")
    max_normals: int = Field(default=10_000, ge=2)


class SignalCnnParams(_Group):
    """Control S4: errors of a small convolutional forecaster of all channels together."""

    channels: int = Field(default=32, gt=0, description="of each layer")
    layers: int = Field(default=6, gt=0, le=12, description="each sees twice as far back as the one before")
    ahead: int = Field(default=8, gt=0, description="points that are forecast from each point")
    window: int = Field(default=512, ge=32, description="points of a training window")
    steps: int = Field(default=300, gt=0)
    batch: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    upper_share: float = Field(default=0.25, gt=0, le=1, description="share of stretches that make the score")
    calibration_folds: int = Field(default=5, ge=2, description="trainings for calibration, at most")
    max_normals: int = Field(default=2_000, ge=2)
    seed: int = 42
