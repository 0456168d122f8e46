"""Scores on a scale that people share: 0 to 100, the same for every engine."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from alp_assets.params import DecisionParams

Scores = npt.NDArray[np.float64]

State = Literal["NORMAL", "WARNING", "CRITICAL"]

AT_THRESHOLD = 50.0


def severity(scores: Scores, calibration: Scores, threshold: float) -> Scores:
    """0 at the median of the calibration scores, 50 at the threshold, 75 at twice that distance, ...

    Every further distance between median and threshold halves what is missing to 100. Where the median is
    not below the threshold, the lowest calibration score takes its place; where that is not either, every
    score above the threshold is next to 100.
    """
    lower = [value for value in (float(np.median(calibration)), float(calibration.min())) if value < threshold]
    zero = lower[0] if lower else threshold
    unit = max(threshold - zero, 1e-9 * max(1.0, abs(threshold)))
    result: Scores = 100 * (1 - 2.0 ** (-np.clip((scores - zero) / unit, 0, 60)))
    return result


def state(severity: Scores, params: DecisionParams) -> npt.NDArray[np.str_]:
    """The ``State`` (n,) of severities (n,): WARNING above the threshold, CRITICAL from ``critical_severity``.

    Empty text where there is no severity (NaN).
    """
    names = np.select(
        [np.isnan(severity), severity >= params.critical_severity, severity > AT_THRESHOLD],
        ["", "CRITICAL", "WARNING"],
        "NORMAL",
    )
    return names.astype(np.str_)
