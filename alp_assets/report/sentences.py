"""What a section's figures mean, in plain words of every language."""

from __future__ import annotations

import math
from collections.abc import Mapping

from alp_assets.report.model import ANOMALY, NORMAL, HeardView, KpiView, SectionView
from alp_assets.report.text import count, number
from alp_assets.report.words import (
    NOTHING,
    Words,
    count_of,
    count_of_in,
    joined,
    known,
    listed,
    same,
    say,
    say_of,
)

DROPOUT = "dropout"

_LONG_DAYS = 3650
_KPI_WORDS = {"met": "met", "not met": "not_met", "cannot be shown": "open"}
_BADGES = {"met": "good", "not met": "weak", "cannot be shown": "open"}


def machine(section: SectionView) -> Words:
    """The machine's type and its section."""
    kind = known("machine", section.machine_type)
    return Words(*(f"{text} · {section.section_id}" for text in (kind.en, kind.ko)))


def standing(section: SectionView) -> str:
    """How well a section is watched: ``good``, ``weak``, ``open`` (not proven) or ``none``."""
    if not section.scored:
        return "none"
    return _BADGES[section.kpi.status] if section.kpi else "open"


def found(section: SectionView) -> Words:
    """How many test clips are unusual."""
    tested = len(section.test_decisions)
    if not section.scored:
        return say("state.untested")
    return count_of("state.found", section.flagged, tested=count(tested)) if tested else say("state.no_tests")


def why_not(section: SectionView) -> Words:
    """Why a section has no score."""
    if section.why_not == "too_few_normals":
        normals = section.normals_source + section.normals_target
        return count_of("why_not.too_few_normals", normals, least=section.min_normals)
    return say(f"why_not.{section.why_not}", reason=section.reason.removeprefix("cannot score: "))


def engine(section: SectionView) -> Words:
    """What a section's engine does."""
    return known("engine", section.engine or "")


def why(section: SectionView) -> Words:
    """Why a section got its engine, as the end of a sentence."""
    if section.why == "other":
        return say("why.other", reason=section.reason)
    return say(f"why.{section.why}", source=count(section.normals_source), target=count(section.normals_target))


def left_out(section: SectionView) -> Words:
    """Which earlier packages could not be used; empty where all could."""
    return say("why.left_out", packages=", ".join(section.left_out)) if section.left_out else NOTHING


def promise(section: SectionView) -> Words:
    """What the threshold promises of normal clips."""
    if section.promise is None:
        return say("promise.none")
    kind = "at_most" if section.promise.policy == "conformal" else "about"
    words = say(f"promise.{kind}", rate=percent(section.promise.promised))
    return joined([words, NOTHING if section.promise.supported else say("promise.weak")])


def bearing(section: SectionView) -> Words:
    """That the normals are too few for what was asked of the threshold; empty where they are not."""
    held = section.promise
    if held is None or held.promised <= held.asked * (1 + 1e-9):
        return NOTHING
    domains = listed(count_of(f"promise.witness.{name}", n) for name, n in sorted(held.witnesses.items()))
    too_few, alike = say("promise.too_few", domains=domains), say("promise.alike")
    return joined([too_few, alike if section.persistence else NOTHING])


def extrapolation(section: SectionView) -> Words:
    """What it means that a threshold is extrapolated; empty where it is not."""
    if section.promise is None or not section.promise.extrapolated or section.threshold is None:
        return NOTHING
    beyond = section.threshold > max(section.calibration_scores, default=math.inf)
    return say_of(section.holds, "promise.beyond" if beyond else "promise.tail")


def alarm_rule(section: SectionView) -> Words:
    """When the alarm rings."""
    if section.persistence is None:
        return say("promise.rule_each")
    needed, window = section.persistence
    return say("promise.rule_row" if needed == window else "promise.rule_of", needed=needed, window=window)


def expected_alarms(section: SectionView) -> Words:
    """How often the alarm is expected to ring without cause."""
    alarms = section.alarms_per_day
    if alarms is None:
        return say("expected.unknown")
    if alarms < 1 / _LONG_DAYS:
        return say("expected.rare")
    if alarms < 0.5:
        return count_of("expected.days", round(1 / alarms))
    often = f"{alarms:,.0f}" if alarms >= 10 else f"{alarms:.1f}".removesuffix(".0")
    return count_of("expected.days", 1) if often == "1" else say("expected.per_day", n=often)


def observed(section: SectionView) -> Words:
    """What happened on normals that the model had not seen, and whether that agrees with the promise."""
    normals, alarms = section.observed_normals, section.observed_false_alarms
    if not normals or alarms is None:
        return say("observed.none")
    rate: Words = same(percent(alarms / normals))
    if section.observed_interval is not None:
        low, high = map(percent, section.observed_interval)
        confidence = percent(section.interval_confidence)
        rate = say("observed.interval", rate=rate, confidence=confidence, low=low, high=high)
    return joined(
        [count_of_in(section.holds, "observed.counted", normals, alarms=count(alarms), rate=rate), _kept(section)]
    )


def broken(section: SectionView) -> bool:
    """Whether more unseen normals were flagged than promised, beyond what chance would do."""
    interval = section.observed_interval
    return section.promise is not None and interval is not None and interval[0] > section.promise.promised


def kpi_status(kpi: KpiView) -> str:
    """The key of a verdict on what was agreed: ``met``, ``not_met`` or ``open``."""
    return _KPI_WORDS[kpi.status]


def kpi(section: SectionView) -> Words:
    """How the section stands to what was agreed, and what would settle it where that is open."""
    return joined([reached(section), _more(section.kpi) if section.kpi else NOTHING])


def reached(section: SectionView) -> Words:
    """What was agreed, and what was observed of it."""
    verdict = section.kpi
    if verdict is None:
        return say("kpi.none")
    target = _kpi_figure(verdict, verdict.target)
    if verdict.value is None or verdict.low is None or verdict.high is None:
        agreed = say(f"kpi.agreed.{verdict.measure}", target=target)
        return joined([agreed, say("kpi.unlabelled", missing=_missing(section, verdict))])
    value, low, high = (_kpi_figure(verdict, figure) for figure in (verdict.value, verdict.low, verdict.high))
    confidence = percent(section.interval_confidence)
    return say(f"kpi.{verdict.measure}", value=value, low=low, high=high, target=target, confidence=confidence)


def more_clips(clips: Mapping[str, int]) -> Words:
    """So many more labelled clips, by label."""
    return listed(count_of(f"kpi.more_{label}", n) for label, n in sorted(clips.items(), reverse=True))


def heard_short(section: SectionView) -> list[Words]:
    """How faint each fault may be, a few words each; nothing where that is not known."""
    if unheard(section):
        return []
    return [
        say("hears.short", fault=known("fault_short", heard.kind), level=loudness(heard))
        for heard in section.hears
    ]


def loudness(heard: HeardView) -> Words:
    """How strong a synthetic anomaly must be to be caught, beside the sound of the machine."""
    if heard.caught_at_db is None:
        return say("loudness.never")
    ratio = 10 ** (heard.caught_at_db / 20)
    if heard.kind == DROPOUT:
        return say("loudness.left", share=percent(round(ratio, 2)))
    if not heard.caught_at_db:
        return say("loudness.as_loud")
    return say("loudness.louder" if ratio > 1 else "loudness.fainter", ratio=f"{ratio:.2g}")


def unheard(section: SectionView) -> Words:
    """Why there is nothing to say of what a model would hear; empty where there is."""
    if section.hears and section.hears[0].clips:
        return NOTHING
    if section.signal:
        return say("unheard.signals")
    return say(f"unheard.{section.why_unheard if section.hears else 'not_measured'}")


def enough_caught(section: SectionView) -> Words:
    """How many of the clips must be caught for a fault to count as heard."""
    clips = section.hears[0].clips if section.hears else 0
    least = math.ceil(section.caught_share * clips - 1e-9)
    if least == clips:
        return count_of("hears.enough_all", clips)
    return say("hears.enough_some", least=least, clips=clips)


def held_out(section: SectionView) -> Words:
    """How many of the held-out clips the threshold flags as they are; empty where that is not known."""
    tried = section.hears[0].tried if section.hears else None
    if tried is None:
        return NOTHING
    above = tried - section.hears[0].clips
    return count_of("hears.above_some", above, tried=tried) if above else count_of("hears.above_none", tried)


def level(db: float) -> str:
    """A level beside another one."""
    return f"{db:+g} dB" if db else "0 dB"


def percent(share: float) -> str:
    """A share in percent to one decimal place, without a needless ``.0``; very small ones to two digits."""
    if 0 < share < 0.001:
        return f"{100 * share:.2g}%"
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def map_legend(section: SectionView) -> Words:
    """How to read the pictures of the shown clips, and what marks the unusual in them where anything does."""
    if section.signal:
        maps = [clip.anomaly_map for clip in section.top if clip.anomaly_map is not None]
        whole = bool(maps) and all(item.shape[1] == 1 for item in maps)
        strips = say("clip.strips_whole" if whole else "clip.strips") if maps else NOTHING
        return joined([say("clip.waveforms"), strips])
    return joined([say("clip.spectrogram"), _marks(section)])


def _marks(section: SectionView) -> Words:
    maps = [clip.anomaly_map for clip in section.top if clip.anomaly_map is not None]
    if not maps:
        return NOTHING
    only_pitch = all(item.shape[1] == 1 for item in maps)
    return joined([say("clip.overlay"), say("clip.overlay_pitch") if only_pitch else NOTHING])


def _kept(section: SectionView) -> Words:
    """Whether the observed interval agrees with the promised rate; empty where that cannot be said."""
    if section.promise is None or section.observed_interval is None:
        return NOTHING
    if broken(section):
        return say("observed.more")
    fewer = section.observed_interval[1] < section.promise.promised
    return say("observed.fewer" if fewer else "observed.agrees")


def _kpi_figure(verdict: KpiView, value: float) -> str:
    """Areas and shares out of 100, alarms as they are."""
    if verdict.measure == "alarms_per_day":
        return number(value, 3)
    return f"{100 * value:.1f}".removesuffix(".0")


def _missing(section: SectionView, verdict: KpiView) -> Words:
    needed = {"recall": (ANOMALY,), "alarms_per_day": (NORMAL,)}.get(verdict.measure, (NORMAL, ANOMALY))
    return listed(say(f"kpi.{label}") for label in needed if not section.labelled(label))


def _more(verdict: KpiView) -> Words:
    if verdict.status != "cannot be shown":
        return NOTHING
    if not verdict.more_clips:
        return say("kpi.endless") if verdict.value is not None else NOTHING
    return say("kpi.more" if verdict.value is not None else "kpi.at_least", more=more_clips(verdict.more_clips))
