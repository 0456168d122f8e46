"""Scores on a scale that people share: 0 to 100, the same for every engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def severity(scores: Scores, calibration: Scores, threshold: float) -> Scores:
    """0 at the median of the calibration scores, 50 at the threshold, 75 at twice that distance, ...

    Every further distance between median and threshold halves what is missing to 100.
    """
    median = float(np.median(calibration))
    unit = max(threshold - median, 1e-9)
    result: Scores = 100 * (1 - 2.0 ** (-np.clip((scores - median) / unit, 0, 60)))
    return result
