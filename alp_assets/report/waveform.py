"""A clip of a signal to see: its channels over time, and where each is unlike the normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alp_assets.report.charts import figure_of
from alp_assets.report.svg import Captions, inline_svg
from alp_assets.report.words import known, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from alp_assets.report.model import ClipView

_COLUMNS = 240
"""Stretches of time that a line is drawn of, each by its lowest and highest point."""

_STRIPES = 80
_ROW = 0.56
_MARGINS = 0.55


def waveforms(clip: ClipView, name: str, label: str) -> str:
    """The channels of a clip below each other, over one axis of time.

    Under each a strip is the higher the less usual that moment is; all strips have one scale, up from the median
    of them all. Channels without any signal are left out. ``name`` and ``label`` are as ``inline_svg`` has them.
    """
    rows = [row for row, values in enumerate(clip.samples) if np.ptp(values) > 0]
    strips = _strips(clip, len(clip.samples))
    seconds = clip.samples.shape[1] / clip.sample_rate
    height = _ROW * max(len(rows), 1) + _MARGINS
    captions = Captions()
    with figure_of(height) as figure:
        axes = figure.subplots(max(len(rows), 1), 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.15, right=0.98, bottom=0.45 / height, top=1 - 0.1 / height, hspace=0.12)
        for axis, row in zip(axes, rows, strict=False):
            _draw(axis, clip.samples[row], None if strips is None else strips[row], seconds)
            channel = captions.token(known("channel", clip.channels[row]))
            axis.text(-0.02, 0.5, channel, transform=axis.transAxes, ha="right", va="center")
        axes[-1].set_xlim(0, seconds)
        axes[-1].set_xlabel(captions.token(say("clip.seconds")))
        return inline_svg(figure, name, captions, {}, label)


def _draw(
    axis: Axes, values: NDArray[np.floating[Any]], strip: NDArray[np.float64] | None, seconds: float
) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_yticks([])
    low, high = _envelope(values)
    time = np.linspace(0, seconds, len(low))
    axis.fill_between(time, low, high, facecolor="#1d4e79", edgecolor="#1d4e79", linewidth=0.6)
    bottom, top = float(low.min()), float(high.max())
    room = 0.5 * (top - bottom)
    axis.set_ylim(bottom - (room if strip is not None else 0), top)
    if strip is not None:
        edges = np.linspace(0, seconds, len(strip) + 1)
        axis.stairs(bottom - room + 0.85 * room * strip, edges, baseline=bottom - room, fill=True, color="#9c2f2f")


def _envelope(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest point of stretches; of few points each by itself."""
    edges = np.unique(np.linspace(0, len(values), min(_COLUMNS, len(values)) + 1).astype(int))[:-1]
    wide = values.astype(np.float64)
    return np.minimum.reduceat(wide, edges), np.maximum.reduceat(wide, edges)


def _strips(clip: ClipView, channels: int) -> NDArray[np.float64] | None:
    """The map of a clip (channels, time) as heights from 0 to 1; None where there is no map of the channels."""
    found = clip.anomaly_map
    if found is None or found.shape[0] != channels:
        return None
    cells = np.nan_to_num(np.asarray(found, np.float64))
    if cells.shape[1] > _STRIPES:
        edges = np.linspace(0, cells.shape[1], _STRIPES + 1).astype(int)[:-1]
        cells = np.maximum.reduceat(cells, edges, axis=1)
    low = float(np.median(cells[cells > 0])) if (cells > 0).any() and cells.shape[1] > 1 else 0.0
    high = float(cells.max())
    return np.clip((cells - low) / (high - low), 0, 1) if high > low else np.zeros_like(cells)
