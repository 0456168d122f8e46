"""What there is to see of a recording: its waveform, its spectrum, and where a model finds it unusual."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.standardize import CLIP_SECONDS, SAMPLE_RATE, StandardClip
from alp_assets.report.sound import height_of, overlay, spectrogram
from alp_assets.stages.diagnosis import recorded_seconds

_PEAKS = 800
_TICKS_HZ = (250, 500, 1_000, 2_000, 4_000, 8_000)
_MOST_BANDS, _MOST_COLUMNS = 24, 600
_STRIKING = 0.995
_REGION = 0.5
_GAP_S = 0.3
_MOST_REGIONS = 50

Cells = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WholeMap:
    """The anomaly maps of a recording's clips side by side: ``cells`` (bands, time), lowest band first.

    NaN where a clip was not explained. ``columns`` of them belong to each clip; of all only ``seconds`` were
    recorded.
    """

    cells: Cells
    columns: int
    seconds: float

    @property
    def step_s(self) -> float:
        """How long a column is."""
        return CLIP_SECONDS / self.columns

    @property
    def recorded(self) -> Cells:
        """The columns that were recorded at least in part."""
        return self.cells[:, : max(1, int(np.ceil(self.seconds / self.step_s - 1e-9)))]


def joined(clips: Sequence[StandardClip]) -> npt.NDArray[np.float32]:
    """The recorded samples (n,) of all clips at 16 kHz."""
    return np.concatenate([clip.sound for clip in clips])


def waveform(samples: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Lowest and highest sample of up to 800 stretches of equal length."""
    starts = np.linspace(0, len(samples), min(_PEAKS, len(samples)), endpoint=False).astype(int)
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    peaks = np.round(np.column_stack([low, high]).astype(np.float64), 4)
    return {"seconds": len(samples) / SAMPLE_RATE, "peaks": peaks.tolist()}


def spectrogram_picture(samples: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The spectrogram as a picture without axes, and where on its height frequencies are."""
    return {
        "png": _data_url(spectrogram(samples, SAMPLE_RATE)),
        "seconds": len(samples) / SAMPLE_RATE,
        "scale": "mel",
        "ticks": [{"hz": hz, "height": round(height_of(hz, SAMPLE_RATE), 4)} for hz in _TICKS_HZ],
    }


def whole_map(maps: Sequence[Any], clips: Sequence[StandardClip]) -> WholeMap | None:
    """The maps of some clips as one of the recording; ``None`` where the engine gives none."""
    first = next((item for item in maps if item is not None), None)
    if first is None:
        return None
    bands, columns = first.shape
    cells = np.full((bands, columns * len(maps)), np.nan)
    for number, item in enumerate(maps):
        if item is not None:
            cells[:, number * columns : (number + 1) * columns] = item
    seconds = float(clips[-1].offset_s + recorded_seconds(clips[-1]))
    return WholeMap(cells, columns, seconds)


def map_values(whole: WholeMap) -> dict[str, Any]:
    """The map in few bands and columns: 0 where it is ordinary, 1 where it is most striking."""
    cells = _averaged(_averaged(whole.recorded, _MOST_BANDS).T, _MOST_COLUMNS).T
    shares = np.round(np.nan_to_num(_shares(cells)), 3)
    return {
        "seconds": whole.seconds,
        "step_s": round(whole.recorded.shape[1] * whole.step_s / cells.shape[1], 4),
        "bands": len(cells),
        "values": shares.tolist(),
        "knows_time": whole.columns > 1,
    }


def map_picture(whole: WholeMap) -> str:
    """The map as a picture that lies over the spectrogram."""
    lowest = float(np.nanmin(whole.cells)) if np.isfinite(whole.cells).any() else 0.0
    cells = np.nan_to_num(whole.cells, nan=lowest)
    return _data_url(overlay(cells, CLIP_SECONDS * cells.shape[1] / whole.columns, whole.seconds))


def regions(whole: WholeMap, above: Sequence[bool], bands_hz: tuple[float, float] | None) -> list[dict[str, Any]]:
    """The most striking stretches of the clips that are above the threshold, in the order of time.

    ``bands_hz`` are the ends of mel bands where these are known. A map without time has no stretches.
    """
    if whole.columns == 1:
        return []
    shares = np.nan_to_num(_shares(_averaged(whole.recorded, _MOST_BANDS)))
    clip_of = np.arange(shares.shape[1]) // whole.columns
    shares[:, ~np.asarray(above)[clip_of]] = 0
    found: list[dict[str, Any]] = []
    for first, last in _runs(shares.max(axis=0) >= _REGION, max(1, round(_GAP_S / whole.step_s))):
        part = shares[:, first : last + 1]
        bands = np.flatnonzero(part.max(axis=1) >= _REGION)
        low, high = bands[0] / len(shares), (bands[-1] + 1) / len(shares)
        found.append(
            {
                "start_s": round(first * whole.step_s, 3),
                "end_s": round(min((last + 1) * whole.step_s, whole.seconds), 3),
                "low": round(float(low), 3),
                "high": round(float(high), 3),
                "low_hz": None if bands_hz is None else _hz(low, bands_hz),
                "high_hz": None if bands_hz is None else _hz(high, bands_hz),
                "strength": round(float(part.max()), 3),
            }
        )
    strongest = sorted(found, key=lambda item: -item["strength"])[:_MOST_REGIONS]
    return sorted(strongest, key=lambda item: item["start_s"])


def _shares(cells: Cells) -> Cells:
    """0 at the median, since half of a recording is ordinary, 1 at nearly the highest; clipped."""
    finite = cells[np.isfinite(cells)]
    if not finite.size:
        return np.zeros_like(cells)
    low, striking = (float(value) for value in np.quantile(finite, (0.5, _STRIKING)))
    high = max(striking, low + (float(finite.max()) - low) / 2)
    return np.clip((cells - low) / (high - low), 0, 1) if high > low else np.zeros_like(cells)


def _averaged(cells: Cells, most: int) -> Cells:
    """Neighbouring rows averaged until there are at most so many."""
    step = -(-len(cells) // most)
    starts = np.arange(0, len(cells), step)
    sizes = np.diff(np.append(starts, len(cells)))
    return np.asarray(np.add.reduceat(cells, starts, axis=0) / sizes[:, None])


def _runs(on: npt.NDArray[np.bool_], gap: int) -> list[tuple[int, int]]:
    """First and last position of every run, those that are at most ``gap`` apart together."""
    found: list[tuple[int, int]] = []
    for position in np.flatnonzero(on).tolist():
        if found and position - found[-1][1] <= gap:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return found


def _hz(height: float, ends: tuple[float, float]) -> int:
    """The frequency at a height between the ends of mel bands (Slaney's scale)."""
    from librosa import hz_to_mel, mel_to_hz

    low, high = hz_to_mel(ends[0]), hz_to_mel(ends[1])
    return round(float(mel_to_hz(low + height * (high - low))))


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
