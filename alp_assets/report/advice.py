"""What more data would help a section most, by rules on its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alp_assets.report.model import ANOMALY, NORMAL, SectionView
from alp_assets.report.sentences import broken, more_clips, percent
from alp_assets.report.words import Words, count_of, known, listed, say, say_of

MOST = 5
"""Pieces of advice for a section; nobody follows more at once."""

CLEAR = 0.01
"""A condition counts as one that changes scores where chance would do so in fewer cases."""

_WORTH_TELLING = 0.1
"""Of the way to the threshold: a clear effect under this is of no account."""

_OF_SOUND = ("mic_position_id", "noise_id")

_LARGE = 500
"""More normals than this are not asked for to make a promise firmer."""


def advice(section: SectionView) -> tuple[Words, ...]:
    """What to send next, the most helpful first; empty where nothing is missing."""
    if not section.scored:
        missing = section.why_not in ("no_normals", "too_few_normals")
        return (
            (say_of(section.holds, "advice.first_normals", least=max(section.min_normals, 3)),) if missing else ()
        )
    return tuple(words for rule in _RULES for words in rule(section))[:MOST]


def _broken_promise(section: SectionView) -> Iterator[Words]:
    if broken(section):
        yield say("advice.too_many_alarms")


def _missed(section: SectionView) -> Iterator[Words]:
    if section.kpi and section.kpi.status == "not met" and section.kpi.measure != "alarms_per_day":
        yield say_of(section.holds, "advice.missed")


def _few_target(section: SectionView) -> Iterator[Words]:
    more = section.few_target - section.normals_target
    if more > 0:
        yield count_of("advice.more_normals", more, have=section.normals_target, few=section.few_target)


def _labels(section: SectionView) -> Iterator[Words]:
    if not len(section.test_decisions):
        yield say("advice.no_test")
    elif not section.labelled(NORMAL) and not section.labelled(ANOMALY):
        yield say("advice.no_labels")
    elif not section.labelled(NORMAL):
        yield say("advice.no_normal_labels")
    elif not section.labelled(ANOMALY):
        yield say("advice.no_anomaly_labels")
    elif section.kpi and section.kpi.more_clips:
        yield say("advice.more_labels", more=more_clips(section.kpi.more_clips))


def _deaf(section: SectionView) -> Iterator[Words]:
    if any(heard.clips and heard.caught_at_db is None for heard in section.hears):
        yield say("advice.deaf")


def _weak_promise(section: SectionView) -> Iterator[Words]:
    """To halve a rate of 1 / (n + 1) takes n + 1 more witnesses."""
    held = section.promise
    if held is None or held.promised <= held.asked * (1 + 1e-9) or not held.witnesses:
        return
    domain, witnesses = min(held.witnesses.items(), key=lambda item: (item[1], item[0]))
    borne = 1 / (witnesses + 1)
    if witnesses + 1 <= _LARGE and held.promised >= borne * (1 - 1e-9):
        yield say(
            "advice.firmer", n=witnesses + 1, domain=say(f"advice.domain.{domain}"),
            rate=percent(borne), half=percent(borne / 2),
        )  # fmt: skip


def _effects(section: SectionView) -> Iterator[Words]:
    """Of the domain nothing is asked: conditions that are past cannot be recorded again."""
    told = [item for item in section.effects if item.column != "domain" and item.chance is not None]
    worst = max((item for item in told if (item.chance or 0) < CLEAR), key=lambda item: item.shift, default=None)
    if worst is not None and worst.shift > _WORTH_TELLING:
        yield say("advice.effect", column=known("column", worst.column), value=worst.value)


def _noise(section: SectionView) -> Iterator[Words]:
    if not section.supply.noise_only and not section.signal:
        yield say("advice.no_noise")


def _variety(section: SectionView) -> Iterator[Words]:
    if section.supply.days == 1:
        yield say_of(section.holds, "advice.one_day")
    values = {name: n for name, n in section.supply.values.items() if not section.signal or name not in _OF_SOUND}
    if empty := [known("column", name) for name, n in values.items() if n == 0]:
        yield say("advice.not_told", columns=listed(empty))
    if alone := [known("column", name) for name, n in values.items() if n == 1]:
        yield say("advice.one_value", column=listed(alone))


_RULES: tuple[Callable[[SectionView], Iterator[Words]], ...] = (
    _broken_promise,
    _missed,
    _few_target,
    _labels,
    _deaf,
    _weak_promise,
    _effects,
    _noise,
    _variety,
)
