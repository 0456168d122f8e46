"""What disturbs a recording at low frequencies: hum of the mains, and gusts of wind or thumps of handling."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray

_RATE = 2_000
_COARSE_RATE = 8_000
_SEGMENT, _HOP = 4_000, 2_000
"""Spectra for hum: 2 s at half a hertz, every second."""

_MAINS_HZ = (50, 60)
_HARMONICS = range(1, 11)
_BETWEEN = ((1 / 2, 3 / 2, 5 / 2, 7 / 2), (1 / 3, 2 / 3, 4 / 3, 5 / 3, 7 / 3, 8 / 3))
_DRIFT_HZ, _ERROR_HZ = 0.06, 0.15
"""How far the mains drift, and how far off the frequency of a line is measured."""

_FRAME = 250
_GUST_BINS = slice(1, 8)
"""Frames for gusts: 0.125 s, and of them 8 to 56 Hz."""

_LOUDEST = 0.01
"""Share of the frames that counts as the loudest moments: of 12 s one frame."""


class Hum(NamedTuple):
    """Hum of the mains: its fundamental in Hz, 0 where there is none, and its power in full scale squared."""

    mains_hz: int
    power: float


class Gusts(NamedTuple):
    """The loudest moments at 8 to 56 Hz: how far they stand above the usual ones, in dB, and their power."""

    above_db: float
    power: float


class LowBandMeter:
    """Takes in the samples of one channel block by block; keeps them at 2 kHz no longer than it must."""

    def __init__(self, sample_rate: int, prominence_db: float) -> None:
        import soxr

        self._factor = max(1, sample_rate // _COARSE_RATE)
        self._fine = np.zeros(0, np.float32)
        self._stream = soxr.ResampleStream(sample_rate / self._factor, _RATE, 1, dtype="float32", quality="LQ")
        self._prominence = 10 ** (prominence_db / 10)
        self._rest = np.zeros(0, np.float32)
        self._spectrum: npt.NDArray[np.float64] = np.zeros(_SEGMENT // 2 + 1)
        self._segments = 0
        self._gusts: list[FloatArray] = []

    def add(self, x: FloatArray) -> None:
        """Take in the next samples (n,)."""
        x = np.concatenate([self._fine, x]) if self._fine.size else x
        whole = x.size // self._factor * self._factor
        self._fine = x[whole:].copy()
        coarse = x[: whole : self._factor].copy()  # means of a few samples: resampling all of them takes long
        for shift in range(1, self._factor):
            coarse += x[shift : whole : self._factor]
        coarse *= np.float32(1 / self._factor)
        self._take(self._stream.resample_chunk(coarse))

    def finish(self) -> None:
        """Take in what the resampler still holds."""
        self._take(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        self._take_gusts(self._rest)

    def hum(self) -> Hum:
        """The stronger of the hums of 50 and 60 Hz.

        It counts where its fundamental, its third or fifth harmonic and one more each stand out of their
        neighbourhood: the machine's own lines do not fall on odd multiples of the mains, because motors slip
        and what mains magnetise sounds at the even ones. Where lines stand at multiples of half or a third of
        it too, something turns so fast, and it is no hum.
        """
        if not self._segments:
            return Hum(0, 0.0)
        found = [self._hum_of(mains) for mains in _MAINS_HZ]
        return max(found, key=lambda hum: hum.power)

    def gusts(self) -> Gusts:
        """Gusts and thumps; zeros where the recording is too short to have any."""
        power = np.concatenate(self._gusts) if self._gusts else np.zeros(0)
        if power.size < 8:
            return Gusts(0.0, 0.0)
        rank = power.size - max(1, round(_LOUDEST * power.size))
        usual, loud = float(np.median(power)), float(np.partition(power, rank)[rank])
        return Gusts(10 * math.log10((loud + 1e-15) / (usual + 1e-15)), loud)

    def _take(self, x: FloatArray) -> None:
        self._rest = np.concatenate([self._rest, x])
        count = (self._rest.size - _SEGMENT) // _HOP + 1
        if count < 1:
            return
        from scipy import fft

        segments = np.lib.stride_tricks.sliding_window_view(self._rest, _SEGMENT)[::_HOP][:count]
        self._spectrum += (np.abs(fft.rfft(segments * _HANN, axis=1)) ** 2).sum(axis=0)
        self._segments += count
        self._take_gusts(self._rest[: count * _HOP])
        self._rest = self._rest[count * _HOP :].copy()

    def _take_gusts(self, x: FloatArray) -> None:
        from scipy import fft

        frames = x[: x.size // _FRAME * _FRAME].reshape(-1, _FRAME)
        spectrum = fft.rfft(frames * _SHORT_HANN, axis=1)[:, _GUST_BINS]
        power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
        self._gusts.append(power * np.float32(2 / (_FRAME * float(_SHORT_HANN @ _SHORT_HANN))))

    def _hum_of(self, mains: int) -> Hum:
        if not self._line(mains, 1):
            return Hum(0, 0.0)
        lines = {order: self._line(mains, order) for order in _HARMONICS}
        standing = [order for order, power in lines.items() if power > 0]
        if len(standing) < 3 or not (3 in standing or 5 in standing):
            return Hum(0, 0.0)
        if any(sum(self._line(mains, order) > 0 for order in between) > 1 for between in _BETWEEN):
            return Hum(0, 0.0)
        scale = 2 / (self._segments * _SEGMENT * float(_HANN @ _HANN))
        return Hum(mains, scale * sum(lines.values()))

    def _line(self, mains: int, order: float) -> float:
        """The summed bins of a harmonic, 0 where no line stands out at its very frequency."""
        center = round(order * mains * _SEGMENT / _RATE)
        near = self._spectrum[center - 6 : center + 7]
        around = np.concatenate(
            [self._spectrum[center - 24 : center - 6], self._spectrum[center + 7 : center + 25]]
        )
        background = float(np.median(around))
        if near.max() < self._prominence * max(background, 1e-20):
            return 0.0
        off_hz = (center + _peak(near) - 6) * _RATE / _SEGMENT - order * mains
        if abs(off_hz) > _DRIFT_HZ * order + _ERROR_HZ:
            return 0.0
        return float(near[4:9].sum() - 5 * background)


def _peak(power: npt.NDArray[np.float64]) -> float:
    """Where the highest of some bins lies, between bins (parabola through the logarithms)."""
    at = int(power.argmax())
    if not 0 < at < power.size - 1:
        return float(at)
    left, middle, right = np.log(power[at - 1 : at + 2] + 1e-30)
    bend = left - 2 * middle + right
    return at + float(0.5 * (left - right) / bend) if bend < 0 else float(at)


_HANN: FloatArray = np.hanning(_SEGMENT).astype(np.float32)
_SHORT_HANN: FloatArray = np.hanning(_FRAME).astype(np.float32)
