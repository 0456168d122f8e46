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
"""However many alarms a day are asked for, no more than every second normal clip may be above."""

_CLIP_SECONDS = 10

_ALIKE = (
    "This takes clips to be independent; neighbouring clips of one machine are alike, so there may be more alarms"
)


def set_threshold(
    scores_by_domain: Mapping[str, Scores],
    params: DecisionParams,
    recordings: Mapping[str, int] | None = None,
    clip_seconds: float = _CLIP_SECONDS,
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

    A fitted tail never lowers the threshold under the highest score. Where it would, the highest score stands
    and promises no more than it bears, 1 / (n + 1), since the tail does not speak for it. ``extrapolated`` are
    only thresholds beyond the highest score of the domain whose threshold stands.

    Domains are taken one by one and the highest threshold stands: of a live clip nobody says from which
    domain it is, and the highest is the lowest single one that keeps the promise in each of them.

    Args:
        scores_by_domain: finite scores of normals that the model had not seen.
        params: the policy and what was asked.
        recordings: how many recordings the scores of a domain come from, by default as many as scores.
        clip_seconds: how long a clip is, and so how many there are in a day.

    Raises:
        ValueError: there is no score.
    """
    counts = recordings_by_domain(scores_by_domain, recordings)
    scores = {name: np.asarray(scores_by_domain[name], np.float64) for name in counts}
    per_day = CLIPS_PER_DAY * _CLIP_SECONDS / clip_seconds * params.duty_cycle
    task = _Task(params, per_day, scores, counts, clip_seconds)
    if all(supports(count, task.asked) for count in counts.values()):
        return task.plain()
    if params.beyond_support == "extrapolate":
        return task.extrapolate()
    if params.policy == "conformal":
        return task.stay()
    return task.persist()


@dataclass(frozen=True)
class _Domain:
    """What one domain alone would get.

    Attributes:
        value: the score.
        promised: share of its normals expected above.
        extrapolated: whether a fitted tail puts it beyond the highest score.
        words: what there is to say of a highest score that stands for want of anything higher, or nothing.
    """

    value: float
    promised: float
    extrapolated: bool = False
    words: str = ""


@dataclass(frozen=True)
class _Task:
    params: DecisionParams
    clips_per_day: float
    scores: Mapping[str, Scores]
    counts: dict[str, int]
    clip_seconds: float

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

    def plain(self) -> Threshold:
        """What was asked, which all domains bear."""
        return self.result(self.asked, None, self.capped, self.domains(self.asked))

    @property
    def capped(self) -> str:
        """In words that more alarms are asked for than every second clip may raise, or nothing."""
        number = self.params.alarms_per_day
        if self.params.policy != "alarms_per_day" or number <= _MOST * self.clips_per_day:
            return ""
        alarms = "alarm a day is" if number == 1 else "alarms a day are"
        return (
            f"{number:g} false {alarms} more than every second of {_amount(self.clips_per_day)} clips a day: "
            f"the threshold is the one that every second normal clip may be above."
        )

    def extrapolate(self) -> Threshold:
        """Where the normals end, a fitted tail goes on."""
        note = f"{weakness(self.weak(self.asked))}, and {self.wanted} was asked for."
        return self.result(self.asked, None, note, self.domains(self.asked))

    def stay(self) -> Threshold:
        """The highest scores, and what they bear."""
        weak = self.weak(self.asked)
        note = f"{weakness(weak)}; the threshold is their highest score. {needed(self.asked)}"
        return self.result(self.asked, None, note, self.domains(self.asked, tail=False))

    def persist(self) -> Threshold:
        """Several clips together, at a rate that the normals bear if there is one."""
        window = self.params.persistence_window
        weak = self.weak(self.asked)
        least = max(1 / (count + 1) for count in self.counts.values())
        rule, rate = fewest_of(window, self.asked, least), least
        if rule is None:
            rule = (window, window)
            rate = clip_rate(self.asked, rule)
        found = self.domains(rate, rule)
        note = (
            f"{weakness(weak)}, and {self.wanted} was asked for. So an alarm is raised only when {rule[0]} of "
            f"{rule[1]} clips in a row ({rule[1] * self.clip_seconds:.3g} s) are above the threshold, which "
            f"{percent(_promised(found))} of normal clips may be. {_ALIKE}. {needed(self.asked)[:-1]} without "
            f"this rule."
        )
        return self.result(rate, rule, note, found)

    def result(self, rate: float, rule: Rule | None, note: str, found: Mapping[str, _Domain]) -> Threshold:
        """The highest threshold of the domains found at a rate for each clip, and what there is to say."""
        highest = max(found, key=lambda name: found[name].value)
        promised = _promised(found)
        notes = [note] if note else []
        for name, domain in sorted(found.items()):
            if domain.extrapolated and name == highest:
                notes.append(
                    f"The threshold for {name} is extrapolated: it lies where a fitted tail puts "
                    f"{percent(rate)} of normal clips, beyond every {name} normal heard. Nothing measured "
                    f"bears it out."
                )
            elif domain.extrapolated:
                notes.append(
                    f"For {name} alone it would be extrapolated, to less than the threshold for {highest}; what "
                    f"is promised of {name} rests on a fitted tail."
                )
            elif domain.words:
                notes.append(domain.words)
        share = alarm_rate(promised, rule)
        alarms = self.clips_per_day * share
        if notes:
            amount = _amount(alarms)
            more = ", more than was asked for" if share > self.asked * (1 + 1e-6) else ""
            notes.append(f"Expected: about {amount} false alarm{'s' * (amount != '1')} a day{more}.")
        return Threshold(
            value=found[highest].value,
            asked=self.asked,
            promised=promised,
            supported=not self.weak(rate),
            extrapolated=found[highest].extrapolated,
            policy=self.params.policy,
            persistence=rule,
            alarms_per_day=alarms,
            clips_per_day=self.clips_per_day,
            note=" ".join(notes),
            normals=self.counts,
            by_domain={name: domain.value for name, domain in found.items()},
        )

    def domains(self, rate: float, rule: Rule | None = None, *, tail: bool = True) -> dict[str, _Domain]:
        """The threshold of each domain at a rate for each clip, with a tail for those that do not support it."""
        return {name: self._domain(name, rate, rule, tail=tail) for name in self.counts}

    def _domain(self, name: str, rate: float, rule: Rule | None, *, tail: bool) -> _Domain:
        scores, count = self.scores[name], self.counts[name]
        if supports(count, rate):
            policy = "alarms_per_day" if rule and self.params.policy == "quantile" else self.params.policy
            return _Domain(_WITHIN[policy](scores, rate), rate)
        highest, borne = float(scores.max()), 1 / (count + 1)
        if not tail:
            return _Domain(highest, borne)
        beyond = self._beyond(scores, rate, count)
        if beyond is None:
            words = (
                f"The {name} scores are too few or too much alike to fit a tail, so their highest stands for "
                f"{percent(borne)}."
            )
            return _Domain(highest, borne, words=words)
        if beyond > highest:
            return _Domain(beyond, rate, extrapolated=True)
        words = (
            f"For {name} a fitted tail puts the threshold below the highest normal heard, which stands for "
            f"{percent(borne)}."
        )
        return _Domain(highest, borne, words=words)

    def _beyond(self, scores: Scores, rate: float, count: int) -> float | None:
        if len(np.unique(scores)) < 2:
            return None
        return _gamma(scores, rate) if self.params.policy == "gamma" else tail_value(scores, rate, count)


def _promised(found: Mapping[str, _Domain]) -> float:
    return max(domain.promised for domain in found.values())


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
