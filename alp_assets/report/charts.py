"""The charts of a section, drawn by matplotlib without a display and without global figure state.

The same input gives the same bytes. No text of a customer enters a figure but as titles of single points,
so neither a missing glyph nor a ``$`` in a section id can spoil one. What colour tells, shape, filling,
hatch or line style tells as well.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alp_assets.report.model import ANOMALY, NORMAL, UNKNOWN, Point, SectionView
from alp_assets.report.svg import Captions, inline_svg
from alp_assets.report.words import same, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTOGRAM_BINS = 32
WIDTH = 5.4
"""Inches of 72 units: a chart is as wide as a phone, and two of them are as wide as a page."""

NOISE = "noise"
MACHINE = "machine"

_INK = "#1f2933"
_LINE = "#8a94a0"
_THRESHOLD = (0, (5, 3))
_SHAPES = {NORMAL: "o", ANOMALY: "^", UNKNOWN: "s", NOISE: "P", MACHINE: "P"}

# matplotlib reads its style from process-wide settings while it draws.
_STYLE_LOCK = threading.Lock()
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "alp",
    "svg.fonttype": "none",
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
    """One row of the histogram: its words, its scores, and the class of its bars."""

    key: str
    scores: NDArray[np.float64]
    hatch: str = ""


def score_histogram(section: SectionView, name: str, label: str) -> str:
    """Where the scores of a section lie against its threshold.

    Calibration normals, test normals, test anomalies and unlabelled clips each have a row of their own
    over one score axis. The side that is flagged is shaded. Scores that are not finite are left out.
    ``name`` is the prefix of the figure's ids and ``label`` its description, as ``inline_svg`` has them.
    """
    groups = _groups(section)
    threshold = section.threshold if section.threshold is not None else math.nan
    edges, is_log = _edges(np.concatenate([np.empty(0), *(group.scores for group in groups)]), threshold)
    rows = max(len(groups), 1)
    height = 0.5 * rows + 0.9
    captions = Captions()
    with figure_of(height) as figure:
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.235, right=0.98, bottom=0.52 / height, top=1 - 0.34 / height, hspace=0.18)
        for axis in axes:
            axis.spines[["top", "right", "left"]].set_visible(False)
            axis.tick_params(axis="y", length=0, labelsize=8)
            axis.set_yticks([])
            _mark_threshold(axis, threshold, float(edges[-1]))
        for axis, group in zip(axes, groups, strict=False):
            _bars(axis, group, edges, threshold, captions)
        if is_log:
            _scale_in_ratios(axes[-1].xaxis)
        axes[-1].set_xlim(edges[0], edges[-1])
        axes[-1].set_xlabel(captions.token(say("chart.score_log" if is_log else "chart.score")))
        _label_threshold(axes[0], threshold, edges, is_log, captions)
        return inline_svg(figure, name, captions, {}, label)


def roc(section: SectionView, name: str, label: str) -> str:
    """The share of anomalous clips that is caught against that of normal ones that is flagged, at every threshold.

    The one in use has a mark. Empty text where not both are labelled.
    """
    scores = np.asarray(section.test_scores, dtype=np.float64)
    labels = np.array(section.test_labels, dtype=object)
    finite = np.isfinite(scores)
    normal, anomalous = scores[finite & (labels == NORMAL)], scores[finite & (labels == ANOMALY)]
    if not normal.size or not anomalous.size:
        return ""
    cuts = np.append(np.unique(np.concatenate([normal, anomalous]))[::-1], -math.inf)
    false = np.array([0.0, *((normal >= cut).mean() for cut in cuts)])
    caught = np.array([0.0, *((anomalous >= cut).mean() for cut in cuts)])
    captions = Captions()
    with figure_of(3.1) as figure:
        axis = figure.subplots()
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.17, top=0.96)
        axis.spines[["top", "right"]].set_visible(False)
        axis.plot([0, 1], [0, 1], color=_LINE, linestyle=(0, (1, 2)), linewidth=1)
        axis.plot(false, caught, color="#1d4e79", linewidth=2, clip_on=False)
        if section.threshold is not None:
            place = float((normal > section.threshold).mean()), float((anomalous > section.threshold).mean())
            axis.plot(*place, "D", gid="mark at-threshold", markersize=8, clip_on=False, zorder=5)
            right = place[0] < 0.5
            axis.annotate(
                captions.token(say("chart.at_threshold")),
                place,
                xytext=(10 if right else -10, -4 if place[1] > 0.12 else 6),
                textcoords="offset points",
                ha="left" if right else "right",
                va="top" if place[1] > 0.12 else "bottom",
            )
        axis.set_xlim(-0.01, 1)
        axis.set_ylim(0, 1.01)
        percents = [f"{step} %" for step in range(0, 101, 20)]
        axis.set_xticks(np.arange(6) / 5, percents)
        axis.set_yticks(np.arange(6) / 5, percents)
        axis.set_xlabel(captions.token(say("chart.false_share")))
        axis.set_ylabel(captions.token(say("chart.caught_share")))
        return inline_svg(figure, name, captions, {}, label)


def timeline(section: SectionView, points: Sequence[Point], name: str, label: str) -> str:
    """Scores over the time of recording, with the threshold; empty text where the time does not differ."""
    told = [point for point in points if point.score is not None and point.recorded_at is not None]
    if len({point.recorded_at for point in told}) < 2:
        return ""
    values = np.array([point.score for point in told], dtype=np.float64)
    threshold = section.threshold if section.threshold is not None else math.nan
    edges, is_log = _edges(values, threshold)
    captions = Captions()
    titles = {}
    with figure_of(2.9) as figure:
        from matplotlib.dates import AutoDateFormatter, AutoDateLocator

        axis = figure.subplots()
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.18, top=0.90)
        axis.spines[["top", "right"]].set_visible(False)
        for gid, group in _grouped(told):
            times = np.array([point.recorded_at for point in group], dtype="datetime64[us]")
            axis.plot(times, np.array([point.score for point in group], dtype=np.float64), **_marker(gid))
            titles[gid] = [_title(point) for point in group]
        if math.isfinite(threshold):
            axis.axhspan(threshold, float(edges[-1]), facecolor="#f1ece4", zorder=0)
            axis.axhline(threshold, color=_INK, linestyle=_THRESHOLD, linewidth=1.3, zorder=1)
            words = say("chart.threshold", value=f"{threshold:.4g}")
            axis.annotate(
                captions.token(words),
                (1, threshold),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                va="bottom",
                gid="mark halo",
            )
        if is_log:
            _scale_in_ratios(axis.yaxis)
        axis.set_ylim(edges[0], edges[-1])
        axis.margins(x=0.03)
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        formatter = AutoDateFormatter(locator)  # type: ignore[no-untyped-call]
        formatter.scaled = {365.0: "%Y", 30.0: "%Y-%m", 1.0: "%m-%d", 1 / 24: "%m-%d %H:%M", 0: "%H:%M:%S"}
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(formatter)
        axis.set_xlabel(captions.token(say("chart.recorded_at")))
        axis.set_ylabel(captions.token(say("chart.scores_log" if is_log else "chart.scores")))
        return inline_svg(figure, name, captions, titles, label)


def embedding_map(points: Sequence[Point], name: str, label: str) -> str:
    """Clips on a plane on which like ones lie near each other; empty text where no clip has a place."""
    placed = [point for point in points if point.place is not None]
    if not placed:
        return ""
    captions = Captions()
    titles = {}
    with figure_of(3.1) as figure:
        axis = figure.subplots()
        figure.subplots_adjust(left=0.06, right=0.98, bottom=0.10, top=0.97)
        axis.spines[["top", "right"]].set_visible(False)
        for gid, group in _grouped(placed):
            places = np.array([point.place for point in group])
            axis.plot(places[:, 0], places[:, 1], **_marker(gid))
            titles[gid] = [_title(point) for point in group]
        axis.margins(0.04)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel(captions.token(say("chart.first_axis")))
        axis.set_ylabel(captions.token(say("chart.second_axis")))
        return inline_svg(figure, name, captions, titles, label)


@contextmanager
def figure_of(height: float) -> Iterator[Figure]:
    """A figure to draw in; it must be written while the block runs, under the same style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with _STYLE_LOCK, mpl.rc_context(_STYLE):
        yield Figure(figsize=(WIDTH, height), dpi=72)


def _grouped(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    """Points that are drawn alike, by the gid of their markers; the most telling ones come last, on top."""
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.label, point.split, point.domain), []).append(point)
    order = [NOISE, MACHINE, NORMAL, UNKNOWN, ANOMALY]
    for label, split, domain in sorted(groups, key=lambda key: (order.index(key[0]), key[1] == "test", key[2])):
        yield f"mark l-{label} s-{split} d-{domain}", groups[label, split, domain]


def _marker(gid: str) -> dict[str, Any]:
    label = gid.split()[1].removeprefix("l-")
    size = 4.5 if "s-train" in gid else 6.5
    return {"linestyle": "", "marker": _SHAPES[label], "markersize": size, "gid": gid, "clip_on": False}


def _title(point: Point) -> str:
    when = f" · {point.recorded_at:%Y-%m-%d %H:%M}" if point.recorded_at else ""
    return f"{point.clip_id}{when}{f' · {point.score:.3g}' if point.score is not None else ''}"


def _groups(section: SectionView) -> list[_Group]:
    scores = np.asarray(section.test_scores, dtype=np.float64)
    labels = np.array(section.test_labels, dtype=object)
    rows = [
        _Group("calibration", np.asarray(section.calibration_scores, dtype=np.float64)),
        _Group("test_normal", scores[labels == NORMAL], "///"),
        _Group("test_anomaly", scores[labels == ANOMALY]),
        _Group("unlabelled", scores[labels == UNKNOWN], "xx"),
    ]
    finite = [_Group(row.key, row.scores[np.isfinite(row.scores)], row.hatch) for row in rows]
    return [row for row in finite if row.scores.size]


_FACES: Mapping[str, str] = {
    "calibration": "#ffffff",
    "test_normal": "#c9dcec",
    "test_anomaly": "#9c2f2f",
    "unlabelled": "#eceff2",
}


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


def _scale_in_ratios(axis: Any) -> None:
    """A logarithmic x or y axis with plain numbers, few enough to stand apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis._set_axes_scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _bars(axis: Axes, group: _Group, edges: NDArray[np.float64], threshold: float, captions: Captions) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = _counts(group.scores, edges, threshold)
    filled = counts > 0
    axis.bar(
        edges[:-1][filled],
        counts[filled],
        width=np.diff(edges)[filled],
        align="edge",
        facecolor=_FACES[group.key],
        edgecolor=_INK,
        hatch=group.hatch or None,
        linewidth=0.8,
        zorder=2,
    )
    axis.set_ylim(0, int(counts.max()) * 1.15)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True, steps=[1, 2, 5, 10]))
    for height, words in ((0.62, say(f"chart.{group.key}")), (0.18, same(f"n = {group.scores.size:,}"))):
        axis.text(-0.085, height, captions.token(words), transform=axis.transAxes, ha="right", va="center")


def _mark_threshold(axis: Axes, threshold: float, end: float) -> None:
    if math.isfinite(threshold):
        axis.axvspan(threshold, end, facecolor="#f1ece4", zorder=0)
        axis.axvline(threshold, color=_INK, linestyle=_THRESHOLD, linewidth=1.3, zorder=3)


def _label_threshold(
    axis: Axes, threshold: float, edges: NDArray[np.float64], is_log: bool, captions: Captions
) -> None:
    if not math.isfinite(threshold):
        return
    place, low, high = ((math.log(v) if is_log else v) for v in (threshold, float(edges[0]), float(edges[-1])))
    share = (place - low) / (high - low)
    axis.annotate(
        captions.token(say("chart.threshold_flagged", value=f"{threshold:.4g}")),
        (threshold, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="left" if share < 0.4 else "right" if share > 0.6 else "center",
        va="bottom",
    )
