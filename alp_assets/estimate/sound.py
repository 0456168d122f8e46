"""What a planned delivery of sound comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE
from alp_assets.engines.catalog import make_engine
from alp_assets.engines.selection import BANKS_ALWAYS, Choice, Situation, choose_engine
from alp_assets.errors import ParameterError
from alp_assets.estimate.base import MOST, Amount, Estimate, Outlook, SomePlan, within
from alp_assets.params import SOUND_ENGINES, Params
from schemas.texts import Language, read_texts

_PCM_BITS = (16, 24, 32)
_STANDARD_BYTES = 2 * SAMPLE_RATE * CLIP_SECONDS
_C = "meta_prototype"


@dataclass(frozen=True)
class Plan(SomePlan):
    """Sound to be recorded, with ``noise_minutes`` of background noise; ``bits`` are those of a sample."""

    noise_minutes: float = 0.0
    bits: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        within("noise_minutes", self.noise_minutes, 0, MOST)
        if self.bits not in _PCM_BITS:
            raise ParameterError(f"bits is {self.bits}; recorders write {', '.join(map(str, _PCM_BITS))}.")

    @property
    def seconds(self) -> float:
        """Recorded time of one machine."""
        return 60 * (self.conditions * self.minutes + self.noise_minutes)


@dataclass(frozen=True)
class _Measured:
    """Wall seconds of `alp onboard` on two cores: of ``bench/results/onboarding.json``, by what they grow with.

    ``patches_s`` and ``pooled_s`` are seconds of the pretrained encoder for a clip, of ``encoders.json``.
    """

    start_s: float = 14.9
    raw_megabyte_s: float = 0.0136
    clip_s: float = 0.0041
    section_s: float = 2.6
    patches_s: float = 1.69
    pooled_s: float = 0.58


_MEASURED = _Measured()


def estimate(plan: Plan, params: Params, encoder: str, language: Language = "en") -> Estimate:
    """Work out a plan. ``encoder`` is the one that engines A and B would work on; texts are in the language.

    Engines are chosen by the very rules that onboarding goes by, for machines whose recordings are all
    confirmed and say their condition.
    """
    machine = _amount(plan, params)
    total = machine.times(plan.machines)
    texts = read_texts("estimate", language)
    engines = tuple(_outlooks(plan, params, encoder, texts["notes"]))
    taken = next((outlook.engine for outlook in engines if outlook.automatic), "")
    return Estimate(
        plan,
        machine,
        total,
        encoder,
        engines,
        _compute_s(plan, total, params, encoder, taken),
        texts["basis"]["measured"].format(files=", ".join(_files(encoder))),
        tuple(_warnings(plan, machine, params, texts["warnings"])),
    )


def _amount(plan: Plan, params: Params) -> Amount:
    normal = plan.conditions * _condition_clips(plan, params)
    noise = 0 if _set_aside(plan, params) else _clips(60 * plan.noise_minutes, params)
    frame = plan.channels * plan.bits // 8
    return Amount(
        normal,
        noise,
        plan.seconds / 3600,
        round(plan.seconds * plan.sample_rate_hz) * frame,
        (normal + noise) * _STANDARD_BYTES,
    )


def _condition_clips(plan: Plan, params: Params) -> int:
    """Normal clips of one condition; none where its recordings will be set aside."""
    if _set_aside(plan, params):
        return 0
    return plan.recordings * _clips(60 * plan.minutes / plan.recordings, params)


def _clips(seconds: float, params: Params) -> int:
    """Clips that a recording is cut into: a remainder counts when it is long enough to be padded."""
    whole, rest = divmod(round(seconds, 6), CLIP_SECONDS)
    return int(whole) + (rest >= params.clips.min_seconds)


def _files(encoder: str) -> list[str]:
    """Where the measurements are that the computing time comes from."""
    return ["bench/results/onboarding.json", *([] if encoder in BANKS_ALWAYS else ["encoders.json"])]


def _outlooks(plan: Plan, params: Params, encoder: str, notes: Any) -> Iterator[Outlook]:
    """Every engine for a machine of the plan, whose normals count as target ones, the contract's default."""
    clips = plan.conditions * _condition_clips(plan, params)
    automatic = _choice(plan, params, encoder, "auto")
    for name in SOUND_ENGINES:
        engine = make_engine(name, params.models)
        taken = automatic.engine.name == name
        least = max(engine.min_normals, params.models.min_normals)
        if clips < least:
            yield Outlook(name, engine.letter, False, False, notes["too_few"].format(least=least))
        elif name == _C:
            yield Outlook(name, engine.letter, *_prototypes(plan, params, encoder, notes))
        else:
            note = _why_taken(clips, params, encoder, notes) if taken else notes[_unasked(name, encoder)]
            yield Outlook(name, engine.letter, True, taken, note)


def _why_taken(clips: int, params: Params, encoder: str, notes: Any) -> str:
    """Why ``auto`` takes the engine that it takes, of a machine with so many target normals and no others."""
    enough = params.models.selection.few_target
    if clips >= enough:
        return str(notes["enough_target"].format(least=enough, count=clips))
    return str(notes["few_without_weights" if encoder in BANKS_ALWAYS else "few"].format(count=clips))


def _unasked(name: str, encoder: str) -> str:
    """The note on an engine that could be had and that ``auto`` does not take."""
    if name == "patch_memory" and encoder in BANKS_ALWAYS:
        return "needs_weights"
    return {"isolation_forest": "causes", "autoencoder": "second"}.get(name, "by_name")


def _prototypes(plan: Plan, params: Params, encoder: str, notes: Any) -> tuple[bool, bool, str]:
    """Whether engine C could be had by ``auto+c``, with all recordings marked as source; never by ``auto``."""
    choice = _choice(plan, params, encoder, "auto+c", source=True)
    if choice.engine.name == _C:
        return True, False, notes["c_possible"]
    rules, clips = params.models.selection, params.models.meta_prototype.k_shot + 1
    note = notes["c_needs"].format(least=rules.much_source, values=rules.condition_values, clips=clips)
    return False, False, note


def _choice(plan: Plan, params: Params, encoder: str, wanted: str, *, source: bool = False) -> Choice:
    """What the rules would choose for a machine of the plan, each condition being a speed of its own."""
    each = _condition_clips(plan, params) // plan.recordings
    clips = plan.conditions * plan.recordings * each
    # the rules ask whether there are some of everything; all clips of a large plan would fill the memory
    speeds, files, cut = min(plan.conditions, 8), min(plan.recordings, 4), min(each, 100)
    recordings = np.repeat(np.arange(speeds * files), cut)
    situation = Situation(
        source_normals=clips if source else 0,
        target_normals=0 if source else clips,
        encoder=encoder,
        conditions={"speed_level": (recordings // files).astype(str)},
        recordings=recordings.astype(str),
    )
    models = params.models.model_copy(update={"engine": wanted, "pins": {}})
    return choose_engine(models, "", "", situation)


def _compute_s(plan: Plan, total: Amount, params: Params, encoder: str, engine: str) -> float:
    known = _MEASURED
    seconds = known.start_s + known.section_s * plan.machines
    seconds += known.raw_megabyte_s * total.raw_bytes / 1e6 + known.clip_s * total.clips
    if encoder in BANKS_ALWAYS:
        return seconds
    if engine != "patch_memory":
        return seconds + known.pooled_s * total.clips
    supported = min(total.normal_clips, params.models.patch_memory.support * plan.machines)
    copies = supported * len(params.models.patch_memory.noise_snr_db) if plan.noise_minutes else 0
    return seconds + known.patches_s * (total.clips + copies)


def _set_aside(plan: Plan, params: Params) -> str:
    """Why the recordings of the plan would not be used, as the key of its text; empty where they would."""
    limits, each = params.quality, _seconds_each(plan)
    if plan.sample_rate_hz < limits.min_sample_rate_hz:
        return "low_rate"
    if plan.channels > limits.max_channels:
        return "channels"
    if each < limits.min_duration_s:
        return "too_short"
    return "too_long" if each > limits.max_duration_s else ""


def _warnings(plan: Plan, machine: Amount, params: Params, texts: Any) -> Iterator[str]:
    limits, each = params.quality, _seconds_each(plan)
    if reason := _set_aside(plan, params):
        yield texts[reason].format(
            least=limits.min_sample_rate_hz,
            rate=SAMPLE_RATE,
            most=limits.max_channels,
            each=each,
            seconds=CLIP_SECONDS,
            hours=each / 3600,
        )
        return
    if plan.sample_rate_hz < SAMPLE_RATE:
        yield texts["narrow"].format(highest=plan.sample_rate_hz / 2, rate=SAMPLE_RATE)
    if round(each, 1) < CLIP_SECONDS:
        yield texts["padded"].format(each=each, seconds=CLIP_SECONDS)
    if machine.raw_bytes * plan.machines > params.upload.max_total_bytes:
        yield texts["too_large"].format(most=params.upload.max_total_bytes / 2**30)


def _seconds_each(plan: Plan) -> float:
    """How long each normal recording is."""
    return 60 * plan.minutes / plan.recordings
