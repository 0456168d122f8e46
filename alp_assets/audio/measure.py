"""Measuring a recording as it streams by: level, clipping, silence, dropouts, bandwidth, what disturbs it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from alp_assets.audio.clipping import ClippingMeter
from alp_assets.audio.decode import FloatArray, Recording, pick_channel
from alp_assets.audio.low_band import LowBandMeter
from alp_assets.audio.profile import ProfileMeter
from alp_assets.params import QualityParams

_FRAME_S = 0.05
_FFT = 4096
_MAX_SEGMENTS = 64
_FLOOR_BITS = {"PCM_S8": 8, "PCM_U8": 8, "ULAW": 13, "ALAW": 13, "PCM_16": 16}


@dataclass(frozen=True)
class Measures:
    """What is measured of one recording. Levels are dB relative to full scale, ratios 0 to 1.

    All but the last are those of the channel that ALP uses. ``clipping_runs`` are stretches of two clipped
    samples or more, ``longest_clipping_ms`` the longest of them. ``hum_db`` is the power of the mains' hum
    relative to everything else, not a number without hum (``hum_hz`` 0). ``gusts_db`` is how far the
    loudest moments at 8 to 56 Hz stand above the usual ones, ``gusts_dbfs`` their level. ``gain_step_db`` is
    the likeliest step of level inside, with the difference between bands and the unrest on its sides.
    ``profile`` (128,) is described in ``audio.profile``. ``audio_sha256`` covers the samples of all
    channels, so it finds the same audio in another file.
    """

    rms_dbfs: float
    peak_dbfs: float
    clipping_ratio: float
    clipping_runs: int
    longest_clipping_ms: float
    silence_ratio: float
    dropout_ratio: float
    dc_offset: float
    bandwidth_hz: float
    hum_hz: int
    hum_db: float
    gusts_db: float
    gusts_dbfs: float
    gain_step_db: float
    gain_step_shape_db: float
    gain_step_unrest_db: float
    non_finite: int
    profile: FloatArray
    audio_sha256: str


def measure(recording: Recording, channel: int | str, params: QualityParams) -> Measures:
    """Measure a recording in one pass with memory for one block only."""
    info = recording.info
    digest = hashlib.sha256(f"{info.sample_rate_hz},{info.channels};".encode())
    meter = _Meter(info.sample_rate_hz, info.frames, params)
    for block in recording.blocks():
        digest.update(np.ascontiguousarray(block).data)
        meter.add(pick_channel(block, channel))
    return meter.result(_FLOOR_BITS.get(info.subtype, 24), digest.hexdigest())


@dataclass
class _Meter:
    """Running sums over the blocks of one channel."""

    sample_rate: int
    frames: int
    params: QualityParams
    count: int = 0
    total: float = 0.0
    energy: float = 0.0
    peak: float = 0.0
    non_finite: int = 0
    silent_frames: int = 0
    level_frames: int = 0
    dropout: int = 0
    zero_tail: int = 0
    segments: int = 0
    power: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_FFT // 2 + 1))
    clipping: ClippingMeter = field(default_factory=ClippingMeter)
    profile: ProfileMeter = field(init=False)
    low_band: LowBandMeter = field(init=False)

    def __post_init__(self) -> None:
        self.profile = ProfileMeter(self.sample_rate)
        self.low_band = LowBandMeter(self.sample_rate, self.params.hum_prominence_db)

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, x: FloatArray) -> None:
        """Take in the next samples (n,)."""
        if not np.isfinite(x.sum()):
            finite = np.isfinite(x)
            self.non_finite += int(x.size - finite.sum())
            x = np.where(finite, x, 0).astype(np.float32)
        peak = max(float(x.max()), -float(x.min()))
        self.total += float(x.sum(dtype=np.float64))
        self.energy += float(np.einsum("i,i->", x, x, dtype=np.float64))
        self.peak = max(self.peak, peak)
        self.clipping.add(x, peak)
        self.profile.add(x)
        self.low_band.add(x)
        self._add_silence(x)
        self._add_zeros(x)
        self._add_spectrum(x)
        self.count += x.size

    def _add_silence(self, x: FloatArray) -> None:
        size = max(1, round(_FRAME_S * self.sample_rate))
        frames = x[: x.size // size * size].reshape(-1, size) if x.size >= size else x[None, :]
        level = np.einsum("ij,ij->i", frames, frames) / frames.shape[1]
        self.silent_frames += int(np.count_nonzero(level < 10 ** (self.params.silence_dbfs / 10)))
        self.level_frames += len(frames)

    def _add_zeros(self, x: FloatArray) -> None:
        """Count samples in runs of exact zeros; a run may go on from the block before."""
        least = max(2, round(self.params.dropout_run_s * self.sample_rate))
        zero = x == 0
        if not zero.any():
            self._close_run(self.zero_tail, least)
            self.zero_tail = 0
            return
        if zero.all():
            self.zero_tail += x.size
            return
        edges = np.flatnonzero(np.diff(zero, prepend=False, append=False))
        starts, ends = edges[::2], edges[1::2]
        lengths = ends - starts
        if starts[0] == 0:
            lengths[0] += self.zero_tail
        else:
            self._close_run(self.zero_tail, least)
        self.zero_tail = 0
        if ends[-1] == x.size:
            self.zero_tail = int(lengths[-1])
            lengths = lengths[:-1]
        self.dropout += int(lengths[lengths >= least].sum())

    def _close_run(self, length: int, least: int) -> None:
        if length >= least:
            self.dropout += length

    def _add_spectrum(self, x: FloatArray) -> None:
        """Add the power of segments spread evenly over the recording (Welch, Hann window)."""
        from scipy import fft

        share = math.ceil(_MAX_SEGMENTS * x.size / max(self.frames, 1))
        if x.size < _FFT <= self.frames:
            return  # the last few samples of a longer recording: their sharp ends would look like bandwidth
        if x.size < _FFT:
            x = np.pad(x, (0, _FFT - x.size))
        starts = np.unique(np.linspace(0, x.size - _FFT, min(share, x.size // _FFT) or 1).astype(int))
        segments = np.lib.stride_tricks.sliding_window_view(x, _FFT)[starts] * _window()
        spectrum = fft.rfft(segments, axis=1)
        self.power += (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
        self.segments += len(starts)

    def result(self, bits: int, digest: str) -> Measures:
        """The figures over everything taken in."""
        least = max(2, round(self.params.dropout_run_s * self.sample_rate))
        self._close_run(self.zero_tail, least)
        self.low_band.finish()
        count = max(self.count, 1)
        hum, gusts, step = self.low_band.hum(), self.low_band.gusts(), self.profile.gain_step()
        rest = max(self.energy / count - hum.power, 1e-20)
        return Measures(
            rms_dbfs=_db(self.energy / count),
            peak_dbfs=_db(self.peak**2),
            clipping_ratio=self.clipping.samples / count,
            clipping_runs=self.clipping.runs,
            longest_clipping_ms=1_000 * self.clipping.longest / self.sample_rate,
            silence_ratio=self.silent_frames / max(self.level_frames, 1),
            dropout_ratio=self.dropout / count,
            dc_offset=abs(self.total) / count,
            bandwidth_hz=self._bandwidth(bits),
            hum_hz=hum.mains_hz,
            hum_db=_db(hum.power / rest) if hum.mains_hz else math.nan,
            gusts_db=gusts.above_db,
            gusts_dbfs=_db(gusts.power),
            gain_step_db=step.size_db,
            gain_step_shape_db=step.shape_db,
            gain_step_unrest_db=step.unrest_db,
            profile=self.profile.profile(),
            non_finite=self.non_finite,
            audio_sha256=digest,
        )

    def _bandwidth(self, bits: int) -> float:
        """The highest frequency with power over the rounding noise and within 80 dB of the peak.

        A recording made at 8 kHz and resampled, or one that went through a lossy codec, has nothing
        above a sharp edge; that edge is what is found.
        """
        if not self.segments:
            return 0.0
        window_power = float((np.hanning(_FFT) ** 2).sum())
        power = self.power / (self.segments * window_power)
        power[:3] = 0.0  # an offset is not bandwidth
        smooth = np.convolve(power, np.full(9, 1 / 9), mode="same")
        rounding = (2.0 ** (1 - bits)) ** 2 / 12
        above = np.flatnonzero(smooth > max(8 * rounding, 1e-8 * float(smooth.max()), 1e-20))
        return float(above[-1] * self.sample_rate / _FFT) if above.size else 0.0


def _db(power: float) -> float:
    """10 log10 of a power relative to full scale; digital silence is -200."""
    return 10 * math.log10(max(power, 1e-20))


@cache
def _window() -> FloatArray:
    return np.hanning(_FFT).astype(np.float32)
