"""Measuring a signal recording: each channel by itself, the phases against each other, and the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.signals.clean import mended
from alp_assets.signals.recording import FloatArray, SignalRecording
from alp_assets.signals.roles import PHASES

MAINS_HZ = (8.0, 420.0)
"""Where the supply frequency is looked for: inverters start low, aircraft have 400 Hz."""

_LONGEST_LOOK = 1 << 17
_LEAST_CYCLES = 4.0
_STANDS_OUT = 10.0
_FLAT_S = 0.02
_LEAST_FLAT = 8
_TURN = np.exp(2j * np.pi / 3)


@dataclass(frozen=True)
class ChannelMeasures:
    """What is measured of one channel, in its unit; shares are of all its points, 0 to 1.

    ``rms`` and ``peak`` are without the ``offset``, the mean; ``crest`` is their ratio, 0 for a flat line.
    ``missing`` are points that are no finite numbers, ``longest_missing`` the longest run of them in points.
    ``flat`` lie in runs of one value for at least 20 ms, and ``saturated`` are at the largest or smallest value.
    """

    role: str
    rms: float
    peak: float
    crest: float
    offset: float
    missing: float
    longest_missing: int
    flat: float
    saturated: float


@dataclass(frozen=True)
class PhaseMeasures:
    """The three phases at the supply frequency, by symmetrical components (Fortescue, AIEE Trans. 1918).

    ``imbalance`` is the largest distance of an amplitude from the mean of the three, relative to it (NEMA MG 1).
    ``order`` is ``abc`` or ``acb``; ``upside_down`` the role of a channel of wrong polarity, else empty.
    ``negative`` and ``zero`` are those sequences relative to the larger of the two that turn.
    """

    imbalance: float
    order: str
    upside_down: str
    negative: float
    zero: float


@dataclass(frozen=True)
class SignalMeasures:
    """All that is measured of a recording.

    ``mains_hz`` is ``None`` where no line stands out, ``phases`` where there are not three that are alive.
    """

    points: int
    sample_rate_hz: float
    channels: tuple[ChannelMeasures, ...]
    mains_hz: float | None
    phases: PhaseMeasures | None


def measure(recording: SignalRecording) -> SignalMeasures:
    """Measure a recording."""
    rate = recording.sample_rate_hz
    channels = tuple(
        _channel(role, row, rate) for role, row in zip(recording.roles, recording.values, strict=True)
    )
    alive = [place for place, found in enumerate(channels) if found.rms > 0 and found.role in (*PHASES, "flux")]
    looked_at = mended(recording.values[:, :_LONGEST_LOOK])[alive]
    mains = mains_frequency(looked_at, rate)
    roles = [channels[place].role for place in alive]
    phases = None
    if mains and all(role in roles for role in PHASES):
        phases = _phases(looked_at[[roles.index(role) for role in PHASES]], rate, mains)
    return SignalMeasures(recording.values.shape[1], rate, channels, mains, phases)


def mains_frequency(values: FloatArray, rate: float) -> float | None:
    """The supply frequency in Hz by the strongest line of channels (c, n) together, to a tenth of a bin.

    ``None`` where there are fewer than four cycles of it, or nothing stands out by a factor of ten.
    """
    from scipy import fft

    channels, length = values.shape
    if not channels or length < 16:
        return None
    size = fft.next_fast_len(length)
    window = np.hanning(length).astype(np.float32)
    lowest = max(MAINS_HZ[0], _LEAST_CYCLES * rate / length)
    bins = np.arange(size // 2 + 1) * rate / size
    inside = (bins >= lowest) & (bins <= min(MAINS_HZ[1], 0.45 * rate))
    if np.count_nonzero(inside) < 3:
        return None
    power = np.zeros(size // 2 + 1)
    for row in values:
        centred = row - row.mean(dtype=np.float64)
        scale = float(centred.std()) or 1.0
        power += np.abs(fft.rfft(centred.astype(np.float32) / np.float32(scale) * window, size)) ** 2
    peak = int(np.flatnonzero(inside)[power[inside].argmax()])
    if power[peak] < _STANDS_OUT * float(np.median(power[inside])) or not 0 < peak < len(power) - 1:
        return None
    low, top, high = np.log(power[peak - 1 : peak + 2] + 1e-30)
    shift = 0.5 * (low - high) / (low - 2 * top + high) if low + high < 2 * top else 0.0
    return float((peak + shift) * rate / size)


def phasors(values: FloatArray, rate: float, frequency: float) -> npt.NDArray[np.complex128]:
    """Amplitude and phase (c,) of a frequency in Hz in channels (c, n), through a Hann window."""
    length = values.shape[-1]
    window = np.hanning(length)
    turning = np.exp(-2j * np.pi * frequency / rate * np.arange(length)) * window
    found: npt.NDArray[np.complex128] = values @ turning * (2.0 / window.sum())
    return found


def sequences(abc: npt.NDArray[np.complexfloating[Any, Any]]) -> npt.NDArray[np.complex128]:
    """Positive, negative and zero sequence (..., 3) of the phasors (..., 3) of three phases."""
    a, b, c = abc[..., 0], abc[..., 1], abc[..., 2]
    found = np.stack([a + _TURN * b + _TURN**2 * c, a + _TURN**2 * b + _TURN * c, a + b + c], axis=-1) / 3.0
    return found.astype(np.complex128, copy=False)


def _phases(values: FloatArray, rate: float, mains: float) -> PhaseMeasures:
    found = phasors(values, rate, mains)
    amplitudes = np.abs(found)
    mean = float(amplitudes.mean()) or 1.0
    positive, negative, zero = np.abs(sequences(found)).tolist()
    upside_down = ""
    if zero > 0.5 * max(positive, negative):
        # with one phase turned over, the zero sequence of a symmetrical system is two thirds of its amplitude
        turned = [sequences(found * np.where(np.arange(3) == phase, -1, 1)) for phase in range(3)]
        zeros = [float(np.abs(one[2])) / max(np.abs(one[:2])) for one in turned]
        best = int(np.argmin(zeros))
        if zeros[best] < 0.25:
            upside_down = PHASES[best]
            positive, negative, zero = np.abs(turned[best]).tolist()
    larger = max(positive, negative) or 1.0
    return PhaseMeasures(
        imbalance=float(np.abs(amplitudes - mean).max()) / mean,
        order="abc" if positive >= negative else "acb",
        upside_down=upside_down,
        negative=min(positive, negative) / larger,
        zero=zero / larger,
    )


def _channel(role: str, values: FloatArray, rate: float) -> ChannelMeasures:
    finite = np.isfinite(values)
    good = values if finite.all() else values[finite]
    if not good.size:
        return ChannelMeasures(role, 0.0, 0.0, 0.0, 0.0, 1.0, values.size, 0.0, 0.0)
    offset = float(good.mean(dtype=np.float64))
    lowest, highest = float(good.min()), float(good.max())
    peak = max(highest - offset, offset - lowest)
    moving = highest > lowest
    rms = math.sqrt(max(0.0, float(np.einsum("i,i->", good, good, dtype=np.float64)) / good.size - offset**2))
    at_end = np.count_nonzero(good == highest) + np.count_nonzero(good == lowest) if moving else 0
    return ChannelMeasures(
        role=role,
        rms=rms if moving else 0.0,
        peak=peak if moving else 0.0,
        crest=peak / rms if moving and rms > 0 else 0.0,
        offset=offset,
        missing=1.0 - good.size / values.size,
        longest_missing=int(_runs(~finite).max(initial=0)),
        flat=_flat_share(good, rate) if moving else 1.0,
        saturated=at_end / good.size,
    )


def _flat_share(values: FloatArray, rate: float) -> float:
    least = max(_LEAST_FLAT, round(_FLAT_S * rate))
    runs = _runs(values[1:] == values[:-1]) + 1
    return float(runs[runs >= least].sum()) / values.size


def _runs(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The lengths of the runs of true flags (n,)."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return (edges[1::2] - edges[::2]).astype(np.int64)
