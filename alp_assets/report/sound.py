"""A clip to see and to hear: its spectrogram, where it is unusual, and its sound, each as small as it may be.

The pictures hold neither text nor axes; the page around them does, in its own languages.
"""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

SPECTROGRAM_SIZE = (360, 96)
"""Columns and bands of a picture of ten seconds. Bands are spaced as the ear hears pitch (mel, after Slaney)."""

MAP_SIZE = (600, 192)

_FRAME = 1024
_FLOOR_DB = -120.0
_RANGE_DB = 60.0
_COLOURS = 14  # few levels keep a page of many spectrograms small
_STRIKING = 0.995  # quantile of a map's cells
_OUTLINED = 0.5
_MOST_BANDS = 24
_STRIP = 0.06  # of the width: a map that knows no time has its marks at the right edge
_TINT = (64, 224, 255)
_ALPHA = (0, 0, 70, 120, 170)
_MP3_COMPRESSION = 0.9  # 24 kbit/s at 16 kHz


def spectrogram(samples: NDArray[np.float32], rate: int) -> bytes:
    """The spectrum of a clip over time as a PNG, light where it is loud, over the upper 60 dB of its range."""
    levels = _levels(samples, rate)
    high = float(levels.max())
    low = max(min(float(np.quantile(levels, 0.02)), high - 10), high - _RANGE_DB)
    steps = np.clip((levels - low) / (high - low) * _COLOURS, 0, _COLOURS - 1).astype(np.uint8)
    return _png(steps[::-1], _magma())


def overlay(anomaly_map: NDArray[np.floating], map_seconds: float, seconds: float) -> bytes:
    """Where a clip is unlike the normals, as a PNG to lie over its spectrogram.

    Ordinary cells are clear, unusual ones tinted, and the most unusual have an outline, white within black, that
    is seen on any ground and without colours.

    Args:
        anomaly_map: (bands, time), lowest band first, over ``map_seconds``.
        map_seconds: what the map spans; of it the first ``seconds`` are shown, which were recorded.
        seconds: length of the spectrogram.
    """
    cells = _coarse(_recorded_part(np.asarray(anomaly_map, dtype=np.float64), map_seconds, seconds))
    low, high = _contrast(cells[np.isfinite(cells)])
    shares = np.nan_to_num((cells - low) / (high - low))[::-1]
    width, height = MAP_SIZE
    rows = np.arange(height) * shares.shape[0] // height
    columns = np.arange(width) * shares.shape[1] // width
    drawn = np.clip(shares * len(_ALPHA), 0, len(_ALPHA) - 1).astype(np.uint8)[rows][:, columns]
    unusual = (shares >= _OUTLINED)[rows][:, columns]
    inner = unusual & ~_shrunk(unusual, 2)
    drawn[inner] = len(_ALPHA)
    drawn[unusual & ~_shrunk(unusual, 3) & ~inner] = len(_ALPHA) + 1
    if shares.shape[1] == 1:
        drawn[:, : width - round(width * _STRIP)] = 0
    colours = [*[_TINT] * len(_ALPHA), (255, 255, 255), (0, 0, 0)]
    return _png(drawn, colours, bytes([*_ALPHA, 255, 255]))


def audio(samples: NDArray[np.float32], rate: int) -> bytes:
    """The clip as an MP3 of 24 kbit/s, which every browser plays; the same samples give the same bytes."""
    import soundfile as sf

    file = io.BytesIO()
    sound = np.clip(np.nan_to_num(np.asarray(samples, dtype=np.float32)), -1.0, 1.0)
    sf.write(
        file,
        sound,
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=_MP3_COMPRESSION,
        bitrate_mode="CONSTANT",
    )
    return file.getvalue()


def height_of(hz: float, rate: int) -> float:
    """Where a frequency lies in a spectrogram: 0 at the bottom, 1 at the top, which is half the sample rate."""
    return float(_mel(np.array(hz)) / _mel(np.array(rate / 2)))


def _levels(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Levels in dB, shape (bands, frames), of Hann frames spread evenly over the clip."""
    wave = np.nan_to_num(np.asarray(samples, dtype=np.float64).reshape(-1))
    if wave.size < _FRAME:
        wave = np.pad(wave, (0, _FRAME - wave.size))
    columns, bands = SPECTROGRAM_SIZE
    count = min(columns, 1 + (wave.size - _FRAME) * 2 // _FRAME)
    starts = np.linspace(0, wave.size - _FRAME, count).round().astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(wave, _FRAME)[starts]
    window = np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 * (2 / window.sum()) ** 2
    return 10 * np.log10(np.maximum(_banded(power, rate, bands), 10 ** (_FLOOR_DB / 10))).T


def _banded(power: NDArray[np.float64], rate: int, bands: int) -> NDArray[np.float64]:
    """The mean power (frames, bands) of the bins between evenly spaced pitches."""
    bins = power.shape[1]
    pitches = _mel(np.arange(bins) * rate / 2 / (bins - 1))
    edges = np.linspace(0, pitches[-1], bands + 1)
    sums = np.cumsum(np.concatenate([np.zeros((len(power), 1)), power], axis=1), axis=1)
    # bins are shared out by how much of them lies in a band, so that low bands narrower than a bin are not empty
    places = np.interp(edges, np.append(pitches, 2 * pitches[-1] - pitches[-2]), np.arange(bins + 1))
    whole = np.minimum(places.astype(int), bins - 1)
    reached = sums[:, whole] + (places - whole) * power[:, whole]
    return np.asarray(np.diff(reached, axis=1) / np.diff(places))


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale: linear up to 1 kHz, logarithmic above."""
    return np.where(hz < 1000, hz / (200 / 3), 15 + np.log(np.maximum(hz, 1000) / 1000) / (math.log(6.4) / 27))


def _recorded_part(cells: NDArray[np.float64], map_seconds: float, seconds: float) -> NDArray[np.float64]:
    """The columns that hold the first seconds, none of them cut."""
    columns = math.ceil(seconds / (map_seconds / cells.shape[1]) - 1e-9)
    return cells[:, : min(max(columns, 1), cells.shape[1])]


def _coarse(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map with neighbouring bands averaged until each is high enough for an outline around it."""
    step = math.ceil(cells.shape[0] / _MOST_BANDS)
    starts = np.arange(0, cells.shape[0], step)
    sizes = np.diff(np.append(starts, cells.shape[0]))
    return np.asarray(np.add.reduceat(cells, starts, axis=0) / sizes[:, None])


def _contrast(values: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of the tint for a map's finite cells (n,).

    From their median, since half of a clip is ordinary, to nearly their highest; but a single striking cell must
    neither hide the others nor look like them.
    """
    if not values.size:
        return 0.0, 1.0
    low, striking = (float(value) for value in np.quantile(values, (0.5, _STRIKING)))
    high = max(striking, low + (float(values.max()) - low) / 2)
    return (low, high) if high > low else (low, low + 1.0)


def _shrunk(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The part of a mask that is farther than so many pixels from its ends; the picture's rim is none."""
    result = mask.copy()
    for axis in (0, 1):
        for step in range(1, by + 1):
            for way in (-step, step):
                moved = np.roll(mask, way, axis=axis)
                rim = [slice(None), slice(None)]
                rim[axis] = slice(0, step) if way > 0 else slice(-step, None)
                moved[tuple(rim)] = True
                result &= moved
    return result


@cache
def _magma() -> list[tuple[int, int, int]]:
    import matplotlib as mpl

    shades = mpl.colormaps["magma"](np.linspace(0, 1, _COLOURS), bytes=True)
    return [(int(red), int(green), int(blue)) for red, green, blue, _ in shades]


def _png(pixels: NDArray[np.uint8], colours: list[tuple[int, int, int]], alpha: bytes | None = None) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels), mode="P")
    image.putpalette([part for colour in colours for part in colour])
    file = io.BytesIO()
    transparency = {} if alpha is None else {"transparency": alpha}
    image.save(file, format="PNG", optimize=True, **transparency)
    return file.getvalue()
