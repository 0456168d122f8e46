"""How much is to be recorded of a machine, and the storage that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE
from alp_assets.params import ModelParams, Params

Need = Literal["required", "recommended", "optional"]

SIGNAL_RATE_HZ = 10_000
LEAST_SIGNAL_RATE_HZ = 1_000
SIGNAL_SECONDS = 10
SIGNAL_CHANNELS = 4
"""What is recommended for signals: three phases and the flux."""

_SPEEDS = 3
_COMBINATIONS = 9
_EACH_MIN = 3
_MINUTE_S = 60


@dataclass(frozen=True)
class Amount:
    """What is asked of one machine at one microphone place, in seconds of recording.

    ``gaps`` are the figures that its text in the form names.
    """

    name: str
    need: Need
    least_s: float
    most_s: float
    gaps: dict[str, str]


def amounts(params: ModelParams) -> tuple[Amount, ...]:
    """What the form asks for. Counts that open an engine are those that ``auto`` goes by."""
    rules = params.selection
    noise_s, speed_min = (30, 120), (1, 3)
    return (
        Amount(
            "normal",
            "required",
            3 * CLIP_SECONDS,
            10 * CLIP_SECONDS,
            {"least_clips": "3", "most_clips": "10", "few_target": str(rules.few_target)},
        ),
        Amount("noise", "recommended", *noise_s, {"least_s": str(noise_s[0]), "most_s": str(noise_s[1])}),
        Amount(
            "speeds",
            "recommended",
            _SPEEDS * speed_min[0] * _MINUTE_S,
            _SPEEDS * speed_min[1] * _MINUTE_S,
            {"least_min": str(speed_min[0]), "most_min": str(speed_min[1])},
        ),
        Amount(
            "conditions",
            "optional",
            rules.much_source * CLIP_SECONDS,
            max(rules.much_source * CLIP_SECONDS, _COMBINATIONS * _EACH_MIN * _MINUTE_S),
            {
                "least_clips": str(rules.much_source),
                "combinations": str(_COMBINATIONS),
                "each_min": str(_EACH_MIN),
                "share": f"{100 * rules.metadata_share:g}",
                "class_clips": str(params.meta_prototype.k_shot + 1),
            },
        ),
    )


def signal_amounts(params: Params) -> tuple[Amount, ...]:
    """What the form for signals asks for; ``gaps`` say which clips open Time-MoE where ``auto`` may take it."""
    much, each = params.models.selection.much_signal, str(SIGNAL_SECONDS)
    few = max(2, params.models.min_normals)
    long_min = (10, 60)
    return (
        Amount(
            "signal_normal",
            "required",
            3 * SIGNAL_SECONDS,
            10 * SIGNAL_SECONDS,
            {"least": "3", "most": "10", "each_s": each, "few": str(few)},
        ),
        Amount(
            "signal_loads",
            "recommended",
            _SPEEDS * _EACH_MIN * SIGNAL_SECONDS,
            _SPEEDS * 10 * SIGNAL_SECONDS,
            {"each": str(_EACH_MIN), "each_s": each},
        ),
        Amount(
            "signal_long",
            "optional",
            long_min[0] * _MINUTE_S,
            long_min[1] * _MINUTE_S,
            {"least_min": str(long_min[0]), "most_min": str(long_min[1]), "clips": f"{much:,}" if much else ""},
        ),
        Amount(
            "signal_faults",
            "optional",
            SIGNAL_SECONDS,
            10 * SIGNAL_SECONDS,
            {"least": "1", "most": "10", "each_s": each},
        ),
    )


def signal_megabytes(seconds: float) -> float:
    """The size of four channels at the rate that is recommended, in MB of a million bytes."""
    return seconds * SIGNAL_RATE_HZ * SIGNAL_CHANNELS * 4 / 1e6


def megabytes(seconds: float) -> float:
    """The size of standard sound (mono, 16 kHz, PCM16) in MB of a million bytes."""
    return seconds * SAMPLE_RATE * 2 / 1e6
