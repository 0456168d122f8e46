"""What models make of one recording that belongs to no package: scores, states, alarms, and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import AudioInfo, FloatArray, Recording, decoded
from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE, StandardClip, standard_clips
from alp_assets.decision.persistence import Rule, alarms
from alp_assets.decision.severity import severity, state
from alp_assets.decision.threshold import threshold_from
from alp_assets.encoders.base import Encoder, Feature, Sound, dtype_of
from alp_assets.encoders.catalog import make_encoder
from alp_assets.engines.base import Evidence, Model, Scores
from alp_assets.engines.store import StoredModel, load_model
from alp_assets.errors import AlpError, AudioUnreadable, ModelCorrupt, ModelUnsuited
from alp_assets.params import ClipParams, DecisionParams, EmbeddingParams, Params
from alp_assets.stages.models import read_threshold
from alp_assets.stages.recording_verdict import (
    is_fatal,
    judge_form,
    judge_samples,
    unreadable,
)
from schemas.problems import Problem

_BATCH = 16
_STRETCHES = 10
_MOST_TIMED = 3
"""Clips of a recording that are scored once more without each of their tenths."""


class RecordingUnusable(AlpError):
    """A recording that would be set aside in a package. ``problems`` says why, each with its remedy."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{name}: cannot score. {' '.join(map(str, problems))}")
        self.problems = tuple(problems)


@dataclass(frozen=True)
class LoadedModel:
    """A model with its card, its fitted threshold (as ``threshold.json`` has it) and calibration scores (n,)."""

    stored: StoredModel
    threshold: Mapping[str, Any]
    calibration: Scores

    @property
    def feature(self) -> Feature:
        """What it works on."""
        encoder = self.stored.card["encoder"]
        return Feature(encoder["name"], encoder["view"])

    @property
    def clips(self) -> ClipParams:
        """How its clips were cut."""
        return ClipParams.model_validate(self.stored.card["encoder"]["clips"])

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return sum(tensor.nbytes for tensor in self.stored.model.tensors().values()) + self.calibration.nbytes


def load_for_diagnosis(folder: Path) -> LoadedModel:
    """Read a model folder.

    Raises:
        ModelCorrupt: it is not as it was written.
        ModelUnsuited: it is a model of signals, whose recordings mean nothing without their table.
    """
    stored = load_model(folder)
    if signal := stored.card.get("signal"):
        raise ModelUnsuited(
            f"the machine's model knows {signal['modality']}. What the channels are and at which rate they were "
            "measured stands in a table, so signals are scored as packages: send a zip with the recordings and "
            "metadata.csv."
        )
    try:
        threshold = read_threshold(folder)
        calibration = np.array([item["score"] for item in threshold["calibration"]], np.float64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelCorrupt(f"{folder}: its threshold cannot be read ({error!r}). Restore the folder.") from error
    return LoadedModel(stored, threshold, calibration)


@dataclass(frozen=True)
class Judgement:
    """What one model makes of the clips (n,) of a recording.

    ``alarm`` says at which of them so many of the last ones were above that the threshold's rule raises one.
    ``evidence`` is there where it was asked for.
    """

    score: Scores
    severity: Scores
    state: Sequence[str]
    above: Sequence[bool]
    alarm: Sequence[bool]
    threshold: float
    rule: Rule | None
    evidence: Sequence[Evidence] = ()


@dataclass
class Heard:
    """One recording, measured once and cut once for each way of cutting.

    Raises (when made or asked for clips):
        RecordingUnusable: a package's would be set aside.
        FileNotFoundError, IsADirectoryError: it is no file.
    """

    path: Path
    params: Params
    name: str = ""
    longest_s: float | None = None
    info: AudioInfo = field(init=False)
    warnings: tuple[Problem, ...] = field(init=False)
    _cut: dict[ClipParams, list[StandardClip]] = field(init=False, default_factory=dict)
    _encoded: dict[tuple[ClipParams, Feature, str], FloatArray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or self.path.name
        try:
            with self.path.open("rb") as stream, decoded(stream, self.params.quality) as recording:
                self.info = recording.info
                problems = list(self._problems(recording))
        except AudioUnreadable as error:
            raise RecordingUnusable(self.name, [unreadable(error)]) from error
        if is_fatal(problems):
            raise RecordingUnusable(self.name, [item for item in problems if item.severity != "warning"])
        self.warnings = tuple(problems)

    def clips(self, how: ClipParams) -> list[StandardClip]:
        """The clips of the recording, at least one."""
        if how not in self._cut:
            try:
                with self.path.open("rb") as stream, decoded(stream, self.params.quality) as recording:
                    self._refuse_channel(recording.info, how)
                    self._cut[how] = list(standard_clips(recording, how.channel, how.min_seconds))
            except AudioUnreadable as error:
                raise RecordingUnusable(self.name, [unreadable(error)]) from error
            if not self._cut[how]:
                values = {"seconds": self.info.duration_s, "least": how.min_seconds}
                raise RecordingUnusable(self.name, [Problem("error", "too_short", values)])
        return self._cut[how]

    def embedded(self, loaded: LoadedModel, data_root: Path) -> FloatArray:
        """The embeddings (n, ...) of the clips as a model takes them.

        Raises:
            ModelUnsuited: its encoder has other weights or settings here than when the model was fitted.
            WeightsMissing: its encoder has no weights here.
        """
        card, feature = loaded.stored.card, loaded.feature
        encoder = _encoder_of(card, self.params.embeddings, data_root)
        key = (loaded.clips, feature, repr(encoder.settings))
        if key not in self._encoded:
            sounds = (Sound(clip.sound, clip.db_8_10k, clip.db_above_10k) for clip in self.clips(loaded.clips))
            found = []
            while batch := list(islice(sounds, _BATCH)):
                found.append(encoder.encode(batch, [feature.view])[feature.view])
            self._encoded[key] = np.concatenate(found).astype(dtype_of(feature.view), copy=False)
        return self._encoded[key]

    def _problems(self, recording: Recording) -> list[Problem]:
        found = list(judge_form(recording.info, self.name, self.params))
        if self.longest_s is not None and recording.info.duration_s > self.longest_s:
            found.append(Problem("error", "too_long", {"hours": self.longest_s / 3600}))
        if is_fatal(found):
            return found
        return found + judge_samples(recording, self.params)[0]

    def _refuse_channel(self, info: AudioInfo, how: ClipParams) -> None:
        if isinstance(how.channel, int) and how.channel > info.channels:
            values = {"channel": how.channel, "channels": info.channels}
            raise RecordingUnusable(self.name, [Problem("error", "channel_missing", values)])


def judge(
    heard: Heard,
    loaded: LoadedModel,
    threshold: Mapping[str, Any],
    decision: DecisionParams,
    data_root: Path,
    explain: Callable[[Scores], Any] | None = None,
) -> Judgement:
    """Score every clip of a recording.

    ``threshold`` is the one in force, as ``threshold.json`` has it. ``explain`` picks from the scores (n,) the
    clips whose evidence is wanted, as positions; the others get empty evidence. Where the engine's maps know no
    time, those of the highest clips above the threshold get it from what the score loses without each second.
    """
    values = heard.embedded(loaded, data_root)
    model = loaded.stored.model
    scores = np.concatenate([model.score(values[at : at + _BATCH]) for at in range(0, len(values), _BATCH)])
    if not np.isfinite(scores).all():
        raise ModelUnsuited(
            f"{heard.name}: {loaded.stored.card['engine']} gives no number for this recording. Score it with "
            "another model."
        )
    value = float(threshold["value"])
    grades = severity(scores, loaded.calibration, value)
    above = scores > value
    rule = threshold_from(threshold).persistence
    return Judgement(
        score=scores,
        severity=grades,
        state=[str(item) for item in state(grades, decision)],
        above=above.tolist(),
        alarm=alarms(above, rule).tolist(),
        threshold=value,
        rule=rule,
        evidence=_timed(heard, loaded, data_root, scores, above, _evidence(model, values, explain(scores)))
        if explain
        else (),
    )


def recorded_seconds(clip: StandardClip) -> float:
    """How much of a clip was recorded; the rest is padding."""
    return min(clip.valid_samples / SAMPLE_RATE, CLIP_SECONDS)


def _evidence(model: Model, values: FloatArray, positions: Any) -> list[Evidence]:
    found = [Evidence()] * len(values)
    for position in positions:
        (found[int(position)],) = model.explain(values[int(position)][None])
    return found


def _timed(
    heard: Heard,
    loaded: LoadedModel,
    data_root: Path,
    scores: Scores,
    above: npt.NDArray[np.bool_],
    found: list[Evidence],
) -> list[Evidence]:
    """Maps of one column spread over time, where a clip is above the threshold."""
    untimed = [number for number, item in enumerate(found) if item.map is not None and item.map.shape[1] == 1]
    asked = sorted((number for number in untimed if above[number]), key=lambda number: -scores[number])
    if not asked:
        return found
    usual = float(np.median(loaded.calibration))
    weights = {
        number: _moments(heard, loaded, data_root, number, float(scores[number]), usual)
        for number in asked[:_MOST_TIMED]
    }
    even = np.ones(_STRETCHES, np.float32)
    return [
        replace(item, map=item.map * weights.get(number, even))
        if item.map is not None and number in untimed
        else item
        for number, item in enumerate(found)
    ]


def _moments(
    heard: Heard, loaded: LoadedModel, data_root: Path, number: int, score: float, usual: float
) -> FloatArray:
    """How much each tenth of a clip makes its score, (10,), 1 at most: the score is worked out without it.

    What no tenth alone takes away, as of a steady sound, stays with all of them.
    """
    card, feature, clip = loaded.stored.card, loaded.feature, heard.clips(loaded.clips)[number]
    encoder = _encoder_of(card, heard.params.embeddings, data_root)
    ends = np.linspace(0, len(clip.sound), _STRETCHES + 1).astype(int)
    rest = [
        Sound(np.delete(clip.sound, np.s_[start:end]), clip.db_8_10k, clip.db_above_10k)
        for start, end in pairwise(ends)
    ]
    values = encoder.encode(rest, [feature.view])[feature.view].astype(dtype_of(feature.view), copy=False)
    lost = np.maximum(score - np.nan_to_num(loaded.stored.model.score(values), nan=score), 0)
    most = float(lost.max())
    if most == 0 or score <= usual:
        return np.ones(_STRETCHES, np.float32)
    share = min(1.0, most / (score - usual))
    return np.asarray(1 - share + share * lost / most, np.float32)


def _encoder_of(card: Mapping[str, Any], params: EmbeddingParams, data_root: Path) -> Encoder:
    """The encoder that a model was fitted with, at its settings."""
    wanted = card["encoder"]
    arguments = (wanted["name"], _fitted(card), data_root)
    encoder = _encoder(*arguments)
    if encoder.settings != wanted["settings"]:
        _encoder.cache_clear()  # the weights on disk may be others than when it was made
        encoder = _encoder(*arguments)
    if encoder.settings != wanted["settings"]:
        raise ModelUnsuited(
            f"the model was fitted with other weights or settings of {wanted['name']} than are here now; "
            "restore them, or run the package's stages from embeddings on again"
        )
    return encoder


@lru_cache(maxsize=4)
def _encoder(name: str, params: EmbeddingParams, data_root: Path) -> Encoder:
    return make_encoder(name, params, data_root)


def _fitted(card: Mapping[str, Any]) -> EmbeddingParams:
    """The parameters of embeddings that a model was fitted with, at the precision that it really had."""
    tree, settings = card["parameters"]["embeddings"], card["encoder"]["settings"]
    if "precision" in settings:
        tree = {**tree, "pretrained": {**tree["pretrained"], "precision": settings["precision"]}}
    return EmbeddingParams.model_validate(tree)
