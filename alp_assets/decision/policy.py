"""Threshold policies: what a section may cost in false alarms, and what its normals can bear of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from alp_assets.decision.persistence import Rule, alarm_rate, clip_rate, fewest_of
from alp_assets.decision.tail import tail_value
from alp_assets.decision.threshold import (
    CLIPS_PER_DAY,
    Scores,
    Threshold,
    needed,
    order_statistic,
    percent,
    recordings_by_domain,
    supports,
    weakness,
)
from alp_assets.params import DecisionParams

_MOST = 0.5
"""No policy lets more than every second normal clip be above."""

_CLIP_SECONDS = 10

_ALIKE = (
    "This takes clips to be independent; neighbouring clips of one machine are alike, so there may be more alarms"
)


def set_threshold(
    scores_by_domain: Mapping[str, Scores], params: DecisionParams, recordings: Mapping[str, int] | None = None
) -> Threshold:
    """The threshold that the policy sets on the calibration scores (n,) of each domain.

    ``alarms_per_day`` takes the interpolated order statistic at position (n + 1)(1 - rate), whose expected
    exceedance is ``rate`` (Hyndman and Fan, 1996, definition 6). ``quantile`` takes the one that is as often
    above the true quantile as below it (definition 8): calibration scores come from models with fewer
    normals and are a little too high, which lowers the mean to about ``rate``.
    ``conformal`` takes the next whole rank, whose exceedance is at most ``rate`` (Vovk et al., 2005).
    ``gamma`` takes that quantile of a fitted gamma distribution, as the DCASE baselines do; since scores
    may be negative, they are first shifted to lie one standard deviation above 0.

    n normals bear no rate under 1 / (n + 1). What is asked below that is reached as ``beyond_support``
    says: by ``persistence`` with clips that may be above at the rate that the normals bear and the smallest
    k of ``persistence_window`` that will do, and where not even all of them will, by all of them and a
    fitted tail; by ``extrapolate`` with the fitted tail
    alone (``gamma``: with its own distribution). ``conformal`` guarantees and hence does not use
    persistence: it stays at the highest score. The note tells every such case.

    Domains are taken one by one and the highest threshold stands: of a live clip nobody says from which
    domain it is, and the highest is the lowest single one that keeps the promise in each of them.

    Args:
        scores_by_domain: finite scores of normals that the model had not seen.
        params: the policy and what was asked.
        recordings: how many recordings the scores of a domain come from, by default as many as scores.

    Raises:
        ValueError: there is no score.
    """
    counts = recordings_by_domain(scores_by_domain, recordings)
    scores = {name: np.asarray(scores_by_domain[name], np.float64) for name in counts}
    task = _Task(params, CLIPS_PER_DAY * params.duty_cycle, scores, counts)
    if all(supports(count, task.asked) for count in counts.values()):
        return task.result(task.asked, None, "")
    if params.beyond_support == "extrapolate":
        return task.extrapolate()
    if params.policy == "conformal":
        return task.stay()
    return task.persist()


@dataclass(frozen=True)
class _Domain:
    """What one domain alone would get."""

    value: float
    promised: float
    extrapolated: bool


@dataclass(frozen=True)
class _Task:
    params: DecisionParams
    clips_per_day: float
    scores: Mapping[str, Scores]
    counts: dict[str, int]

    @property
    def asked(self) -> float:
        """The false-alarm rate for each clip."""
        if self.params.policy != "alarms_per_day":
            return self.params.false_alarm_rate
        return min(self.params.alarms_per_day / self.clips_per_day, _MOST)

    @property
    def wanted(self) -> str:
        if self.params.policy != "alarms_per_day":
            return f"a false-alarm rate of {percent(self.asked)}"
        number = self.params.alarms_per_day
        return f"{number:g} false alarm{'s' * (number != 1)} a day ({percent(self.asked)} of clips)"

    def weak(self, rate: float) -> dict[str, int]:
        return {name: count for name, count in self.counts.items() if not supports(count, rate)}

    def extrapolate(self) -> Threshold:
        """Where the normals end, a fitted tail goes on."""
        return self.result(
            self.asked, None, f"{weakness(self.weak(self.asked))}, and {self.wanted} was asked for."
        )

    def stay(self) -> Threshold:
        """The highest scores, and what they bear."""
        weak = self.weak(self.asked)
        note = f"{weakness(weak)}; the threshold is their highest score. {needed(self.asked)}"
        return self.result(self.asked, None, note, tail=False)

    def persist(self) -> Threshold:
        """Several clips together, at a rate that the normals bear if there is one."""
        window = self.params.persistence_window
        weak = self.weak(self.asked)
        least = max(1 / (count + 1) for count in self.counts.values())
        rule, rate = fewest_of(window, self.asked, least), least
        if rule is None:
            rule = (window, window)
            rate = clip_rate(self.asked, rule)
        note = (
            f"{weakness(weak)}, and {self.wanted} was asked for. So an alarm is raised only when {rule[0]} of "
            f"{rule[1]} clips in a row ({rule[1] * _CLIP_SECONDS} s) are above the threshold, which "
            f"{percent(rate)} of normal clips may be. {_ALIKE}. {needed(self.asked)[:-1]} without this rule."
        )
        return self.result(rate, rule, note)

    def result(self, rate: float, rule: Rule | None, note: str, *, tail: bool = True) -> Threshold:
        """The thresholds at a rate for each clip, with a tail for the domains that do not support it."""
        weak = self.weak(rate)
        found = {name: self._domain(name, rate, rule, tail=tail) for name in self.counts}
        promised = max(domain.promised for domain in found.values())
        extrapolated = any(domain.extrapolated for domain in found.values())
        notes = [note] if note else []
        if extrapolated:
            where = " and ".join(name for name, domain in sorted(found.items()) if domain.extrapolated)
            notes.append(
                f"The threshold for {where} is extrapolated: it lies where a fitted tail puts "
                f"{percent(rate)} of normal clips, beyond every normal heard. Nothing measured bears it out."
            )
        if tail and any(not found[name].extrapolated for name in weak):
            notes.append(
                f"Their scores are too few or too much alike to fit a tail, so their highest stands for "
                f"{percent(promised)}."
            )
        alarms = self.clips_per_day * alarm_rate(promised, rule)
        if notes:
            notes.append(f"Expected: about {_amount(alarms)} false alarms a day.")
        return Threshold(
            value=max(domain.value for domain in found.values()),
            asked=self.asked,
            promised=promised,
            supported=not weak,
            extrapolated=extrapolated,
            policy=self.params.policy,
            persistence=rule,
            alarms_per_day=alarms,
            clips_per_day=self.clips_per_day,
            note=" ".join(notes),
            normals=self.counts,
            by_domain={name: domain.value for name, domain in found.items()},
        )

    def _domain(self, name: str, rate: float, rule: Rule | None, *, tail: bool) -> _Domain:
        scores, count = self.scores[name], self.counts[name]
        if supports(count, rate):
            policy = "alarms_per_day" if rule and self.params.policy == "quantile" else self.params.policy
            return _Domain(_WITHIN[policy](scores, rate), rate, False)
        highest = float(scores.max())
        beyond = None
        if tail:
            fitted = _gamma(scores, rate) if self.params.policy == "gamma" else tail_value(scores, rate, count)
            beyond = fitted if len(np.unique(scores)) > 1 else None
        if beyond is None:
            return _Domain(highest, 1 / (count + 1), False)
        return _Domain(max(beyond, highest), rate, True)


def _amount(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _right_on_average(scores: Scores, rate: float) -> float:
    return float(np.quantile(scores, 1 - rate, method="weibull"))


def _right_in_the_median(scores: Scores, rate: float) -> float:
    return float(np.quantile(scores, 1 - rate, method="median_unbiased"))


def _gamma(scores: Scores, rate: float) -> float:
    from scipy import stats

    deviation = float(scores.std())
    if not deviation > 0:
        return float(scores.max())
    shift = float(scores.min()) - deviation
    shape, _, scale = stats.gamma.fit((scores - shift) / deviation, floc=0)
    return shift + deviation * float(stats.gamma.isf(rate, shape, scale=scale))


_WITHIN: dict[str, Callable[[Scores, float], float]] = {
    "alarms_per_day": _right_on_average,
    "quantile": _right_in_the_median,
    "gamma": _gamma,
    "conformal": order_statistic,
}
"""How each policy finds the value of a rate that the normals support."""
