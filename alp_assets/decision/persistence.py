"""The k-of-n rule: an alarm is raised when k of the last n clips are above the threshold.

A rate that few normals cannot support for single clips is within reach for several clips together. The
figures take clips to be independent; neighbouring clips of one machine are alike, so they are a plan
and no guarantee.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rule = tuple[int, int]
"""k and n."""


def alarm_rate(rate: float, rule: Rule | None) -> float:
    """The share of clips at which the alarm is on, when each clip is above with probability ``rate``.

    P(Bin(n, rate) >= k); without a rule every clip that is above raises an alarm.
    """
    from scipy.special import betainc

    if rule is None:
        return rate
    k, n = rule
    return float(betainc(k, n - k + 1, rate))


def clip_rate(alarms: float, rule: Rule | None) -> float:
    """The inverse of ``alarm_rate``: how often a clip may be above for so large a share of alarms."""
    from scipy.special import betaincinv

    if rule is None:
        return alarms
    k, n = rule
    return float(betaincinv(k, n - k + 1, alarms))


def fewest_of(window: int, alarms: float, rate: float) -> Rule | None:
    """The rule of smallest k with a share of alarms of at most ``alarms`` when clips are above at ``rate``.

    ``None`` where not even all clips of the window would do.
    """
    rules = ((k, window) for k in range(1, window + 1))
    return next((rule for rule in rules if alarm_rate(rate, rule) <= alarms), None)


def alarms(above: npt.NDArray[np.bool_], rule: Rule | None) -> npt.NDArray[np.bool_]:
    """At which clips (n,), in the order of time, the alarm is on, given which are above (n,).

    Before the window is full the clips so far are counted.
    """
    if rule is None:
        return above.copy()
    k, n = rule
    total = np.concatenate([np.zeros(n, np.int64), np.cumsum(above)])
    on: npt.NDArray[np.bool_] = total[n:] - total[:-n] >= k
    return on
