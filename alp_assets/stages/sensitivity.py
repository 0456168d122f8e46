"""What a model would hear: synthetic anomalies of falling strength in normals that it has not seen.

It says what a threshold can catch before anything has ever broken. The sounds are made up, so it is a
measure of the model's hearing and no forecast of detection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import SAMPLE_RATE
from alp_assets.decision.threshold import Scores
from alp_assets.params import SensitivityParams
from alp_assets.synth.anomalies import ANOMALIES, add_anomaly

Score = Callable[[list[FloatArray]], Scores]
"""Scores (n,) of n sounds, as clips would be scored."""

_FAINTER = "dropout"
"""The kind that takes sound away: its level is what is left, so the lower the plainer."""

_WORDS = {
    "impulse_burst": "bursts of 50 to 300 ms (something strikes)",
    "band_tone": "a whistle of up to 2 s",
    "bearing_rattle": "a rattle of impacts of up to 3 s",
    "dropout": "the machine falling quiet for up to 3 s",
}


@dataclass(frozen=True)
class Heard:
    """How faint an anomaly of a kind may be and still be caught.

    Attributes:
        kind: name in ``ANOMALIES``.
        caught_at_db: the faintest level at which, and at every plainer one, the share that was asked for
            is caught, or ``None`` where not even the plainest is. Levels are those of the anomaly while it
            lasts, in dB relative to the RMS of the machine; for ``dropout`` what is left of the machine, so
            that -6 is fainter than -18.
        shares: share of the clips that were caught, by level, from the plainest to the first that
            missed too many; fainter ones were not tried.
        clips: clips it was put into, none of them above the threshold as it is.
        tried: clips that were scored as they are; those of them above the threshold are ``tried - clips``.
        text: the same in words.
    """

    kind: str
    caught_at_db: float | None
    shares: dict[float, float]
    clips: int
    tried: int
    text: str


def sensitivity(
    score: Score, sounds: Sequence[FloatArray], threshold: float, params: SensitivityParams
) -> list[Heard]:
    """Put every kind of anomaly into sounds at falling levels and see which of them ring.

    Clips that ring as they are prove nothing and are left out, as are those under one second and those that
    get no finite score. The same
    clip and kind get the same anomaly at every level, louder or fainter. At most ``clips`` x (1 + kinds x
    levels) sounds are scored, fewer where a kind is soon lost.

    Args:
        score: the model.
        sounds: normals that the model has not seen, each (n,) at 16 kHz, full scale 1.0; evenly chosen
            ones where there are more than ``params.clips``.
        threshold: a sound with a greater score rings.
        params: levels, share and seed.

    Returns:
        A finding for every kind; where no sound is left to try, as ``unheard`` has it.
    """
    quiet, tried = _quiet(score, sounds, threshold, params.clips)
    if quiet:
        return [_heard(kind, score, quiet, tried, threshold, params) for kind in ANOMALIES]
    if not tried:
        return unheard("no held-out normal of at least a second could be scored")
    if tried == 1:
        return unheard("the only held-out normal was above the threshold as it is", tried)
    return unheard(f"all {tried} held-out normals were above the threshold as they are", tried)


def unheard(why: str, tried: int = 0) -> list[Heard]:
    """For every kind that it could not be measured, of ``tried`` clips, and why: words that end a sentence."""
    return [Heard(kind, None, {}, 0, tried, f"nothing could be measured: {why}") for kind in ANOMALIES]


def _quiet(
    score: Score, sounds: Sequence[FloatArray], threshold: float, most: int
) -> tuple[list[FloatArray], int]:
    """The sounds that are not above the threshold, and how many were scored."""
    usable = [sound for sound in sounds if len(sound) >= SAMPLE_RATE]
    if len(usable) > most:
        usable = [usable[place] for place in np.linspace(0, len(usable) - 1, most).round().astype(int)]
    if not usable:
        return [], 0
    values = score(usable)
    quiet = [sound for sound, value in zip(usable, values, strict=True) if value <= threshold]
    return quiet, int(np.isfinite(values).sum())


def _heard(
    kind: str, score: Score, sounds: list[FloatArray], tried: int, threshold: float, params: SensitivityParams
) -> Heard:
    caught_at: float | None = None
    shares: dict[float, float] = {}
    for level in _levels(kind, params.levels_db):
        values = score([_with(kind, sound, number, level, params.seed) for number, sound in enumerate(sounds)])
        shares[level] = float(np.mean(values > threshold))
        if shares[level] < params.caught:
            break
        caught_at = level
    return Heard(kind, caught_at, shares, len(sounds), tried, _text(kind, caught_at, shares, len(sounds)))


def _levels(kind: str, levels_db: Sequence[float]) -> list[float]:
    """The levels from the plainest to the faintest; a machine that falls quiet has none above 0 dB."""
    if kind == _FAINTER:
        return sorted({-abs(level) for level in levels_db if level})
    return sorted(set(levels_db), reverse=True)


def _with(kind: str, sound: FloatArray, number: int, level_db: float, seed: int) -> FloatArray:
    """A sound with an anomaly, cut off at full scale as a microphone's would be."""
    rng = np.random.default_rng([seed, number, *kind.encode()])
    changed, _ = add_anomaly(kind, sound.astype(np.float64), SAMPLE_RATE, rng, level_db)
    return np.clip(changed, -1.0, 1.0).astype(np.float32)


def _text(kind: str, caught_at: float | None, shares: dict[float, float], clips: int) -> str:
    what = _WORDS.get(kind, kind)
    if not shares:
        return f"{what}: not tried, there is no level to try it at"
    if kind == _FAINTER:
        where = "by {:g} dB or more" if caught_at is not None else "even by {:g} dB"
        level = -(next(iter(shares)) if caught_at is None else caught_at)
    else:
        where = "from {:+g} dB relative to the machine" if caught_at is not None else "even at {:+g} dB"
        level = next(iter(shares)) if caught_at is None else caught_at
    if caught_at is None:
        return f"{what}: not caught reliably {where.format(level)} ({_of(next(iter(shares.values())), clips)})"
    reached = list(shares)[: list(shares).index(caught_at) + 1]
    fewest = min(shares[level] for level in reached)
    amount = _of(fewest, clips) if fewest == 1 else f"at least {_of(fewest, clips)}"
    return f"{what}: caught in {amount} {where.format(level)}"


def _of(share: float, clips: int) -> str:
    """A share of so many clips as a count."""
    if share == 1:
        return "the only clip" if clips == 1 else f"all {clips} clips"
    return f"{share * clips:.0f} of {clips} clip{'s' * (clips != 1)}"
