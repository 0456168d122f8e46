"""Small pictures for Dagster's asset pages."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_SECTIONS = 12


def score_strips(scores: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Scores of each section's test clips, one line each, with the threshold."""
    tested = scores[scores["split"] == "test"]
    groups = list(tested.groupby(["machine_type", "section_id"]))[:_MAX_SECTIONS]
    if not groups:
        return dg.MetadataValue.md("No test clips were scored.")
    figure = _figure(0.55 * len(groups) + 0.9)
    axes = figure.subplots()
    for height, (_, rows) in enumerate(groups):
        for label, marker in (("normal", "o"), ("unknown", "."), ("anomaly", "x")):
            chosen = rows.loc[rows["label"] == label, "score"]
            axes.plot(chosen, np.full(len(chosen), height), marker, alpha=0.7, color=_COLOURS[label])
        axes.plot([rows["threshold"].iloc[0]] * 2, [height - 0.35, height + 0.35], color="black")
    axes.set_yticks(range(len(groups)), [str(number) for number in range(1, len(groups) + 1)])
    axes.set_xlabel("score (o normal, x anomaly, . unlabelled, | threshold)")
    # customer text stays out of the picture: fonts lack letters, and $ would be read as mathematics
    names = [f"{number}. `{kind}/{section}`" for number, ((kind, section), _) in enumerate(groups, 1)]
    return _markdown(figure, "scores of each section with its threshold", "\n".join(names))


def levels(quality: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Histogram of recording levels."""
    found = quality["rms_dbfs"].dropna()
    if found.empty:
        return dg.MetadataValue.md("No recording could be measured.")
    figure = _figure(1.8)
    axes = figure.subplots()
    axes.hist(found, bins=30, color=_COLOURS["normal"])
    axes.set_xlabel("level in dBFS")
    axes.set_ylabel("recordings")
    return _markdown(figure, "histogram of recording levels")


_COLOURS = {"normal": "#2b6cb0", "unknown": "#718096", "anomaly": "#c53030"}


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, height), dpi=80, layout="constrained")


def _markdown(figure: Figure, alt: str, below: str = "") -> dg.MarkdownMetadataValue:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    picture = base64.b64encode(stream.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{picture})\n\n{below}")
