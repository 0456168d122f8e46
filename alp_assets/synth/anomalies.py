"""What a fault adds to or takes from the sound of a machine, and when.

Levels are in dB relative to the RMS of the healthy signal, so that a fault stands out equally from
loud and quiet machines. Outside the regions that are returned, the signal is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alp_assets.errors import ParameterError
from alp_assets.synth.shapes import Signal, gain_of, noise, place, ringing, rms

Regions = list[list[float]]
"""Start and end of each anomalous stretch, seconds, in order; whole milliseconds."""

_EDGE_S = 0.005


def add_anomaly(
    kind: str, signal: Signal, sample_rate_hz: int, rng: np.random.Generator, level_db: float | None = None
) -> tuple[Signal, Regions]:
    """Put an anomaly of a kind in ``ANOMALIES`` into a copy of ``signal`` (n,).

    Args:
        kind: name of the anomaly.
        signal: healthy sound, full scale 1.0, at least one second.
        sample_rate_hz: samples per second.
        rng: where it lies, how long it is and what it sounds like.
        level_db: strength; drawn from the kind's usual range when left out.

    Returns:
        The signal with the anomaly (n,) and its regions.

    Raises:
        ParameterError: the kind is unknown, or the signal is shorter than one second.
    """
    if kind not in ANOMALIES:
        raise ParameterError(f"anomaly {kind!r} is unknown. Choose from: {', '.join(ANOMALIES)}.")
    if len(signal) < sample_rate_hz:
        raise ParameterError("an anomaly needs at least one second of signal. Choose a longer duration.")
    anomaly = ANOMALIES[kind]
    strength = rng.uniform(*anomaly.level_db) if level_db is None else level_db
    return anomaly.add(signal, sample_rate_hz, rng, strength)


def impulse_burst(
    signal: Signal, sample_rate_hz: int, rng: np.random.Generator, level_db: float
) -> tuple[Signal, Regions]:
    """One or two bursts of 50 to 300 ms: something loose strikes. ``level_db`` is the burst's RMS."""
    duration_s = len(signal) / sample_rate_hz
    regions = _draw_regions(rng, duration_s, int(rng.integers(1, 3)), 0.05, 0.3)
    out, level = signal.copy(), rms(signal) * gain_of(level_db)
    for region in regions:
        where = _samples(region, sample_rate_hz)
        n = where.stop - where.start
        body = noise(rng, n, sample_rate_hz) * np.exp(-2.0 * np.arange(n) / n)
        body += ringing(rng, sample_rate_hz, rng.uniform(800.0, 4000.0, 2).tolist(), 0.2)[:n]
        # rounded off at twice its RMS, or the loudest would not fit below full scale
        body = np.tanh(_faded(body, sample_rate_hz) / (2.0 * rms(body)))
        out[where] += body * (level / rms(body))
    return out, regions


def band_tone(
    signal: Signal, sample_rate_hz: int, rng: np.random.Generator, level_db: float
) -> tuple[Signal, Regions]:
    """A whistle of 0.5 to 2 s whose frequency wavers a little. ``level_db`` is the tone's RMS."""
    regions = _draw_regions(rng, len(signal) / sample_rate_hz, 1, 0.5, 2.0)
    where = _samples(regions[0], sample_rate_hz)
    t = np.arange(where.stop - where.start) / sample_rate_hz
    centre_hz = rng.uniform(0.06, 0.35) * sample_rate_hz
    waver = rng.uniform(5.0, 20.0) * np.sin(2.0 * np.pi * rng.uniform(2.0, 6.0) * t)
    tone = np.sqrt(2.0) * np.sin(2.0 * np.pi * centre_hz * t + waver)
    out = signal.copy()
    out[where] += _faded(tone, sample_rate_hz) * (rms(signal) * gain_of(level_db))
    return out, regions


def bearing_rattle(
    signal: Signal, sample_rate_hz: int, rng: np.random.Generator, level_db: float
) -> tuple[Signal, Regions]:
    """A train of impacts (40 to 120 a second, 1 to 3 s) that excites a resonance. ``level_db`` is its RMS."""
    regions = _draw_regions(rng, len(signal) / sample_rate_hz, 1, 1.0, 3.0)
    where = _samples(regions[0], sample_rate_hz)
    n = where.stop - where.start
    gaps_s = rng.normal(1.0, 0.02, int(130 * n / sample_rate_hz) + 2) / rng.uniform(40.0, 120.0)
    starts = np.cumsum(np.maximum(gaps_s, 0.002) * sample_rate_hz).astype(np.int64)
    starts = starts[starts < n]
    resonance_hz = rng.uniform(0.12, 0.35) * sample_rate_hz
    impact = ringing(rng, sample_rate_hz, [resonance_hz], rng.uniform(0.001, 0.003))
    train = place(n, impact, starts, rng.uniform(0.7, 1.3, len(starts)))
    out = signal.copy()
    out[where] += _faded(train, sample_rate_hz) * (rms(signal) * gain_of(level_db) / rms(train))
    return out, regions


def dropout(
    signal: Signal, sample_rate_hz: int, rng: np.random.Generator, level_db: float
) -> tuple[Signal, Regions]:
    """The machine falters: attenuated by ``-level_db`` for 0.8 to 3 s."""
    regions = _draw_regions(rng, len(signal) / sample_rate_hz, 1, 0.8, 3.0)
    where = _samples(regions[0], sample_rate_hz)
    fade = _faded(np.ones(where.stop - where.start), sample_rate_hz)
    out = signal.copy()
    out[where] *= 1.0 + fade * (gain_of(level_db) - 1.0)
    return out, regions


@dataclass(frozen=True)
class Anomaly:
    """A kind of fault: how to add it, and the range of levels in dB that recordings draw from."""

    add: Callable[[Signal, int, np.random.Generator, float], tuple[Signal, Regions]]
    level_db: tuple[float, float]


ANOMALIES: dict[str, Anomaly] = {
    "impulse_burst": Anomaly(impulse_burst, (6.0, 12.0)),
    "band_tone": Anomaly(band_tone, (-9.0, 0.0)),
    "bearing_rattle": Anomaly(bearing_rattle, (-7.0, 1.0)),
    "dropout": Anomaly(dropout, (-20.0, -10.0)),
}
"""Kinds of anomaly by ``anomaly_type``."""


def _draw_regions(
    rng: np.random.Generator, duration_s: float, count: int, shortest_s: float, longest_s: float
) -> Regions:
    """Regions that do not touch: one in each of ``count`` equal parts, at most half of its part."""
    part_ms = int(1000.0 * duration_s) // count
    regions = []
    for part in range(count):
        length_ms = min(round(1000.0 * rng.uniform(shortest_s, longest_s)), part_ms // 2)
        start_ms = part * part_ms + int(rng.integers(1, part_ms - length_ms))
        regions.append([start_ms / 1000.0, (start_ms + length_ms) / 1000.0])
    return regions


def _samples(region: list[float], sample_rate_hz: int) -> slice:
    """The samples that lie inside a region."""
    return slice(int(np.ceil(region[0] * sample_rate_hz)), int(region[1] * sample_rate_hz))


def _faded(signal: Signal, sample_rate_hz: int) -> Signal:
    """The signal with 5 ms edges, so that only the fault and not its cutting out is heard."""
    edge = min(round(_EDGE_S * sample_rate_hz), len(signal) // 2)
    ramp = np.arange(1, edge + 1) / (edge + 1)
    out = signal.copy()
    out[:edge] *= ramp
    out[len(out) - edge :] *= ramp[::-1]
    return out
