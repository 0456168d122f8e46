"""The figures of a report, drawn without a display and without global figure state.

The same input gives the same bytes. No text of a customer enters a figure: names stand in the HTML
around it, so neither a missing glyph nor a ``$`` in a section id can spoil one.
"""

from __future__ import annotations

import io
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alp_assets.report.model import ANOMALY, NORMAL, UNKNOWN, ClipView, SectionView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
HISTOGRAM_BINS = 36
SPECTROGRAM_SIZE = (900, 260)
SPECTROGRAM_BOX = (64, 52, 748, 192)  # left, bottom, width, height of the image in pixels
MAP_HEIGHT = 96  # an anomaly map stands below, over the same time axis
MAP_GAP = 14

_FRAME = 768
_HOP = 384
_BANDS = 96
_FLOOR_DB = -120.0
_RANGE_DB = 80.0
_COLOURS = 24  # few levels keep a page of many spectrograms small
_MAP_COLOURS = 12
_PALETTE = 96
_STRIKING = 0.995  # quantile of a map's cells
_SCORE_LABEL = "score, higher is more anomalous"
_INK = "#1f2933"
_LINE = "#8a94a0"

# matplotlib reads its style from process-wide settings while it draws.
_STYLE_LOCK = threading.Lock()
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "alp",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "hatch.linewidth": 0.8,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


@dataclass(frozen=True)
class _Group:
    """One row of the histogram."""

    name: str
    scores: NDArray[np.float64]
    face: str
    hatch: str


def score_histogram(section: SectionView) -> bytes:
    """Where the scores of a section lie against its threshold, as SVG.

    Calibration normals, test normals, test anomalies and unlabelled clips each have a row of their own
    over one score axis, and a hatch of their own, so that the figure reads in greyscale. The side that
    is flagged is shaded. Scores that are not finite are left out.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = _groups(section)
    threshold = section.threshold if section.threshold is not None else math.nan
    edges, is_log = _edges(np.concatenate([np.empty(0), *(group.scores for group in groups)]), threshold)
    with _STYLE_LOCK, mpl.rc_context(_STYLE):
        rows = max(len(groups), 1)
        height = 0.62 * rows + 0.85
        figure = Figure(figsize=(6.6, height), dpi=DPI)
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.2, right=0.98, bottom=0.52 / height, top=1 - 0.30 / height, hspace=0.18)
        for axis in axes:
            _plain(axis)
            _mark_threshold(axis, threshold, edges)
        for axis, group in zip(axes, groups, strict=False):
            _bars(axis, group, edges, threshold)
        if is_log:
            _scale_in_ratios(axes[-1])
        axes[-1].set_xlim(edges[0], edges[-1])
        axes[-1].set_xlabel("score (log scale), higher is more anomalous" if is_log else _SCORE_LABEL)
        _label_threshold(axes[0], threshold, edges, is_log)
        return _svg(figure)


def picture_size(clip: ClipView) -> tuple[int, int]:
    """Width and height in pixels of a clip's picture."""
    width, height = SPECTROGRAM_SIZE
    return width, height + (MAP_HEIGHT + MAP_GAP) * (clip.anomaly_map is not None)


def spectrogram(clip: ClipView) -> bytes:
    """The short-time spectrum of a clip in dB of full scale, as a PNG of 900 by 260 pixels.

    Time runs in seconds, frequency in Hz, linear up to half the sample rate. The colours span the 80 dB
    below the loudest cell, less where the clip has less. An anomaly map is drawn below, over the same time,
    as far as the clip was recorded; see ``picture_size``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    levels, seconds = _levels(clip.samples, clip.sample_rate)
    high = 5 * math.ceil(float(levels.max()) / 5)
    low = min(max(5 * math.floor(float(np.quantile(levels, 0.01)) / 5), high - _RANGE_DB), high - 10)
    width, height = picture_size(clip)
    x, y, w, h = SPECTROGRAM_BOX
    with _STYLE_LOCK, mpl.rc_context({**_STYLE, "font.size": 9.5}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        axis, scale = _axes(figure, (x, y + height - SPECTROGRAM_SIZE[1], w, h))
        image = axis.imshow(
            levels,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0.0, seconds, 0.0, clip.sample_rate / 2),
            cmap=mpl.colormaps["magma"].resampled(_COLOURS),
            vmin=low,
            vmax=high,
        )
        axis.set_ylabel("frequency (Hz)")
        figure.colorbar(image, cax=scale, label="level (dB)")
        if clip.anomaly_map is not None:
            axis.tick_params(labelbottom=False)
            axis = _draw_map(figure, clip, seconds)
        axis.set_xlabel("time (s)")
        return _png(figure, (width, height))


def _draw_map(figure: Figure, clip: ClipView, seconds: float) -> Axes:
    """The anomaly map under the spectrogram. Cells up to the median are ordinary and stay pale."""
    import matplotlib as mpl

    cells, end = _recorded_part(clip, seconds)
    low, high = _contrast(cells[np.isfinite(cells)])
    x, y, w, _ = SPECTROGRAM_BOX
    axis, scale = _axes(figure, (x, y, w, MAP_HEIGHT))
    image = axis.imshow(
        np.ma.masked_invalid(cells),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, end, 0.0, 1.0),
        cmap=mpl.colormaps["Reds"].resampled(_MAP_COLOURS),
        vmin=low,
        vmax=high,
    )
    axis.set_xlim(0.0, seconds)
    axis.set_yticks([0.08, 0.92], ["low", "high"])
    axis.tick_params(axis="y", length=0)
    axis.set_ylabel("pitch")
    figure.colorbar(image, cax=scale, label="difference").locator = mpl.ticker.MaxNLocator(3)
    return axis


def _contrast(values: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of the colours for a map's finite cells (n,).

    From their median, since half of a clip is ordinary, to nearly their highest; but a single striking cell must
    neither hide the others nor look like them.
    """
    if not values.size:
        return 0.0, 1.0
    low, striking = (float(value) for value in np.quantile(values, (0.5, _STRIKING)))
    high = max(striking, low + (float(values.max()) - low) / 2)
    return (low, high) if high > low else (low, low + 1.0)


def _recorded_part(clip: ClipView, seconds: float) -> tuple[NDArray[np.float64], float]:
    """The columns of a clip's map that hold its first seconds, and the second at which the last of them ends."""
    cells = np.asarray(clip.anomaly_map, dtype=np.float64)
    width = clip.map_seconds / cells.shape[1]
    columns = min(max(math.ceil(seconds / width - 1e-9), 1), cells.shape[1])
    return cells[:, :columns], columns * width


def _axes(figure: Figure, box: tuple[int, int, int, int]) -> tuple[Axes, Axes]:
    """Axes for an image at a place in pixels, and for the scale of its colours beside it."""
    width, height = figure.get_size_inches() * DPI
    x, y, w, h = box
    image = figure.add_axes((x / width, y / height, w / width, h / height))
    return image, figure.add_axes(((x + w + 16) / width, y / height, 12 / width, h / height))


def _groups(section: SectionView) -> list[_Group]:
    scores = np.asarray(section.test_scores, dtype=np.float64)
    labels = np.array(section.test_labels, dtype=object)
    rows = [
        _Group("calibration", np.asarray(section.calibration_scores, dtype=np.float64), "#ffffff", ""),
        _Group("test, normal", scores[labels == NORMAL], "#c9dcec", "///"),
        _Group("test, anomaly", scores[labels == ANOMALY], "#9c2f2f", ""),
        _Group("unlabelled", scores[labels == UNKNOWN], "#eceff2", "xx"),
    ]
    finite = [_Group(row.name, row.scores[np.isfinite(row.scores)], row.face, row.hatch) for row in rows]
    return [row for row in finite if row.scores.size]


def _edges(scores: NDArray[np.float64], threshold: float) -> tuple[NDArray[np.float64], bool]:
    """Bin edges over everything that is drawn, and whether they are spaced in ratios.

    Ratios are for scores so far apart that equal steps would put every normal into one bin. The
    threshold is an edge, so that no bar holds clips from both sides of it.
    """
    values = np.append(scores, threshold)
    values = values[np.isfinite(values)]
    if not values.size:
        return np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1), False
    is_log = bool(values.min() > 0 and values.max() > 20 * np.median(values))
    if is_log:
        values, threshold = np.log(values), math.log(threshold) if math.isfinite(threshold) else math.nan
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or max(abs(high), 1.0) * 0.1
    edges = np.linspace(low - margin, high + margin, HISTOGRAM_BINS + 1)
    if math.isfinite(threshold):
        edges += threshold - edges[np.abs(edges - threshold).argmin()]
    return (np.exp(edges), True) if is_log else (edges, False)


def _counts(scores: NDArray[np.float64], edges: NDArray[np.float64], threshold: float) -> NDArray[np.intp]:
    """Scores in each bin. One that equals the threshold does not ring and lies left of it."""
    edges = edges.copy()
    if math.isfinite(threshold):
        edges[np.abs(edges - threshold).argmin()] = threshold
    bins = np.searchsorted(edges, scores, side="left") - 1
    return np.bincount(np.clip(bins, 0, len(edges) - 2), minlength=len(edges) - 1)


def _scale_in_ratios(axis: Axes) -> None:
    """A logarithmic axis with plain numbers, few enough to stand apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, labelsize=8)
    axis.tick_params(axis="x", length=3)


def _bars(axis: Axes, group: _Group, edges: NDArray[np.float64], threshold: float) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = _counts(group.scores, edges, threshold)
    filled = counts > 0
    axis.bar(
        edges[:-1][filled],
        counts[filled],
        width=np.diff(edges)[filled],
        align="edge",
        facecolor=group.face,
        edgecolor=_INK,
        hatch=group.hatch or None,
        linewidth=0.8,
        zorder=2,
    )
    top = int(counts.max())
    axis.set_ylim(0, top * 1.15)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True, steps=[1, 2, 5, 10]))
    axis.set_ylabel(f"{group.name}\n(n = {group.scores.size})", rotation=0, ha="right", va="center", labelpad=6)


def _mark_threshold(axis: Axes, threshold: float, edges: NDArray[np.float64]) -> None:
    axis.set_yticks([])
    if math.isfinite(threshold):
        axis.axvspan(threshold, edges[-1], facecolor="#f1ece4", zorder=0)
        axis.axvline(threshold, color=_INK, linestyle=(0, (5, 3)), linewidth=1.3, zorder=3)


def _label_threshold(axis: Axes, threshold: float, edges: NDArray[np.float64], is_log: bool) -> None:
    if not math.isfinite(threshold):
        return
    place, low, high = ((math.log(v) if is_log else v) for v in (threshold, float(edges[0]), float(edges[-1])))
    share = (place - low) / (high - low)
    axis.annotate(
        f"threshold {threshold:.4g}: above it a clip is flagged",
        (threshold, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="left" if share < 0.35 else "right" if share > 0.65 else "center",
        va="bottom",
    )


def _levels(samples: NDArray[np.float32], rate: int) -> tuple[NDArray[np.float64], float]:
    """Levels in dB, shape (bands, frames), and how many seconds they span.

    Hann frames of 768 samples that overlap by half; four neighbouring bins make one band.
    """
    wave = np.nan_to_num(np.asarray(samples, dtype=np.float64).reshape(-1))
    seconds = max(wave.size, 1) / rate
    if wave.size < _FRAME:
        wave = np.pad(wave, (0, _FRAME - wave.size))
    frames = np.lib.stride_tricks.sliding_window_view(wave, _FRAME)[::_HOP]
    window = np.hanning(_FRAME)
    spectrum = np.fft.rfft(frames * window, axis=1)[:, 1:]
    power = (np.abs(spectrum) * 2 / window.sum()) ** 2
    banded = power.reshape(len(frames), _BANDS, -1).mean(axis=2)
    return 10 * np.log10(np.maximum(_fewer(banded), 10 ** (_FLOOR_DB / 10))).T, seconds


def _fewer(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average neighbouring frames until the image has no more columns than it can show."""
    step = math.ceil(len(frames) / (SPECTROGRAM_BOX[2] / 1.5))
    starts = np.arange(0, len(frames), step)
    sums = np.add.reduceat(frames, starts, axis=0)
    return np.asarray(sums / np.diff(np.append(starts, len(frames)))[:, None])


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _png(figure: Figure, size: tuple[int, int]) -> bytes:
    """A PNG with a palette: a third of the size of one with full colours, and alike to the eye."""
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", dpi=DPI)
    image = Image.frombytes("RGBA", size, raw.getvalue()).convert("RGB")
    file = io.BytesIO()
    few = image.quantize(
        _PALETTE, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )  # keeps rare colours
    few.save(file, format="PNG", compress_level=9)
    return file.getvalue()
