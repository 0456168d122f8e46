"""What a condition does to the scores of normal clips: which microphone, speed, load or noise raises them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from alp_assets.report.model import Effect

Scores = NDArray[np.float64]

LEAST = 5
"""Of fewer clips with a value, or without it, nothing is said."""

MOST_VALUES = 8
"""Values of a column that are compared: those that most clips have."""


def condition_effects(
    scores: Scores, conditions: Mapping[str, Sequence[str]], threshold: float
) -> tuple[Effect, ...]:
    """Each value of each condition against the section's other normals.

    ``chance`` is the two-sided p-value of Mann and Whitney (1947), multiplied by the number of comparisons
    (Bonferroni). Conditions that change together cannot be told apart this way.

    Args:
        scores: finite scores (n,) of normals that the model had not seen.
        conditions: the values (n,) by column, empty text where none is known. Columns with a single value
            have no effect to show.
        threshold: a clip with a higher score is flagged.
    """
    found: list[tuple[str, str, Scores, Scores]] = []
    for column, values in conditions.items():
        told = np.array(values, dtype=object)
        counts = Counter(value for value in values if value)
        if len(counts) < 2:
            continue
        ordered = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_VALUES]
        known = told != ""
        found.extend(
            (column, value, scores[known & (told == value)], scores[known & (told != value)])
            for value in sorted(ordered)
        )
    return tuple(
        _effect(column, value, those, others, threshold, len(found)) for column, value, those, others in found
    )


def _effect(
    column: str,
    value: str,
    those: Scores,
    others: Scores,
    threshold: float,
    comparisons: int,
) -> Effect:
    median, usual = float(np.median(those)), float(np.median(others))
    room = threshold - usual
    shift = (median - usual) / room if room > 0 else 0.0
    return Effect(column, value, len(those), median, shift, _chance(those, others, comparisons))


def _chance(those: Scores, others: Scores, comparisons: int) -> float | None:
    if min(len(those), len(others)) < LEAST:
        return None
    from scipy.stats import mannwhitneyu

    return min(1.0, comparisons * float(mannwhitneyu(those, others).pvalue))
