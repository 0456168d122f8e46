"""What a planned delivery of motor current, flux or vibration comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alp_assets.encoders.base import SERIES
from alp_assets.engines.catalog import make_engine
from alp_assets.engines.selection import Situation, choose_engine
from alp_assets.errors import ParameterError
from alp_assets.estimate.base import Amount, Estimate, Outlook, SomePlan
from alp_assets.params import SIGNAL_ENGINES, Params
from alp_assets.signals.roles import ROWS
from schemas.modalities import SIGNALS
from schemas.texts import Language, read_texts

SAMPLE_BYTES = {"csv": 8.0, "16": 2.0, "24": 3.0, "32": 4.0, "64": 8.0}
"""Bytes of a value in text of five digits, and as a number of so many bits."""

_FILES = ("bench/results/signals.json", "onboarding.json")
_MOE = "time_moe"


@dataclass(frozen=True)
class SignalPlan(SomePlan):
    """Current, flux or vibration to be measured; ``bits`` is a key of ``SAMPLE_BYTES``."""

    sample_rate_hz: int = 10_000
    channels: int = 4
    bits: str = "32"
    modality: str = "current"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("bits", tuple(SAMPLE_BYTES)), ("modality", SIGNALS)):
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} is {getattr(self, name)!r}; it is one of {', '.join(known)}.")

    @property
    def points(self) -> int:
        """Of each recording, in each channel."""
        return round(60 * self.minutes / self.recordings * self.sample_rate_hz)


@dataclass(frozen=True)
class _Measured:
    """Processor seconds of one core of an AMD EPYC, by what they grow with.

    Of a package as a whole, of a machine, and of a clip of 8,192 points: reading it, and its features in each of
    the models that calibration needs, at most ``folds``. ``training_s`` is one training of ``time_moe``.
    """

    start_s: float = 14.9
    section_s: float = 1.0
    raw_megabyte_s: float = 0.02
    clip_s: float = 0.03
    features_s: float = 0.008
    folds: int = 20
    training_s: float = 128.0


_MEASURED = _Measured()


def estimate_signals(plan: SignalPlan, params: Params, language: Language = "en") -> Estimate:
    """Work out a plan; texts are in the language.

    Engines are chosen by the very rules that onboarding goes by, for machines whose recordings are all confirmed.
    """
    machine = _amount(plan, params)
    total, texts = machine.times(plan.machines), read_texts("estimate", language)
    engines = tuple(_outlooks(plan, machine.normal_clips, params, texts["signals"]))
    taken = next((outlook.engine for outlook in engines if outlook.automatic), "")
    return Estimate(
        plan,
        machine,
        total,
        SERIES,
        engines,
        _compute_s(plan, machine, params, taken),
        texts["signals"]["basis"].format(files=", ".join(_FILES)),
        tuple(_warnings(plan, total, params, texts["signals"])),
    )


def _amount(plan: SignalPlan, params: Params) -> Amount:
    """Clips are whole ones; the rest of a recording is left out."""
    clips = plan.conditions * plan.recordings * (plan.points // params.signals.clip_points)
    values = plan.conditions * plan.recordings * plan.points * plan.channels
    size = len(ROWS) * 4 * params.signals.clip_points
    seconds = 60 * plan.conditions * plan.minutes
    return Amount(clips, 0, seconds / 3600, round(values * SAMPLE_BYTES[plan.bits]), clips * size)


def _outlooks(plan: SignalPlan, clips: int, params: Params, texts: Any) -> Iterator[Outlook]:
    """Every engine for a machine of the plan, whose normals count as target ones, the contract's default."""
    models = params.models.model_copy(update={"engine": "auto", "pins": {}})
    nothing = {name: np.zeros(0, np.str_) for name in ("speed_level", "load_level", "noise_id", "mic_position_id")}
    situation = Situation(0, clips, "", nothing, np.zeros(0, np.str_), plan.modality)
    automatic = choose_engine(models, "", "", situation).engine.name
    for name in SIGNAL_ENGINES:
        engine = make_engine(name, params.models)
        least = max(engine.min_normals, params.models.min_normals)
        if clips < least:
            yield Outlook(name, engine.letter, False, False, texts["too_few"].format(least=least))
        elif name == automatic:
            yield Outlook(name, engine.letter, True, True, texts["taken"][name].format(count=clips))
        else:
            yield Outlook(name, engine.letter, True, False, texts["by_name"][name])


def _compute_s(plan: SignalPlan, machine: Amount, params: Params, engine: str) -> float:
    """Clips of more points take as much longer, and every fold of calibration works on all of them."""
    known, clips = _MEASURED, machine.clips * params.signals.clip_points / 8192
    folds = min(plan.conditions * plan.recordings, known.folds)
    each = known.section_s + known.raw_megabyte_s * machine.raw_bytes / 1e6 + known.clip_s * clips
    each += known.training_s * (1 + 3 / 2) if engine == _MOE else known.features_s * clips * folds
    return known.start_s + each * plan.machines


def _warnings(plan: SignalPlan, total: Amount, params: Params, texts: Any) -> Iterator[str]:
    points = params.signals.clip_points
    if plan.points < points:
        seconds = points / plan.sample_rate_hz
        yield texts["too_short"].format(each=plan.points / plan.sample_rate_hz, least=points, seconds=seconds)
        return
    if plan.modality == "current" and plan.channels < 3:
        yield texts["phases"]
    if plan.recordings * plan.conditions < 3:
        yield texts["few_recordings"]
    if total.raw_bytes > params.upload.max_total_bytes:
        yield texts["too_large"].format(most=params.upload.max_total_bytes / 2**30)
