"""Figures and findings in plain words, for the report and the letter alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from alp_assets.report.model import SectionView
from schemas.problems import Problem, Severity

if TYPE_CHECKING:
    from jinja2 import Environment

GROUP_ABOVE = 200  # equal findings beyond this many are told in one line
MOST_LINES = 2_000  # a longer table would not open on a phone

COSTS: dict[Severity, str] = {
    "refusal": "stops the package",
    "error": "set aside",
    "warning": "only a note",
}
ENGINE_LETTERS = {
    "patch_memory": "A",
    "memory_bank": "B",
    "meta_prototype": "C",
    "isolation_forest": "L1",
    "autoencoder": "L2",
}
POLICIES = {
    "alarms_per_day": "set by how many false alarms a day may ring",
    "quantile": "set by the share of normal clips that may be above it",
    "gamma": "set by a gamma curve fitted to the normal scores",
    "conformal": "set so that a share of normal clips above it is guaranteed (conformal)",
}
DROPOUT = "dropout"
FAULTS = {
    "impulse_burst": "knocks: something loose strikes",
    "band_tone": "a whistle: a tone that was not there",
    "bearing_rattle": "a rattle: a train of impacts, as of a worn bearing",
    DROPOUT: "faltering: the machine gets quieter for a while",
}
MISSING = "–"

_ORDER: tuple[Severity, ...] = ("refusal", "error", "warning")
_RANGES_SHOWN = 6
_LONG_DAYS = 3650
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Finding:
    """One line of a table of problems: a single problem, or many equal ones.

    ``rows`` is text such as ``7`` or ``2-4, 9``; ``value`` and ``file`` are examples where ``count``
    is more than 1.
    """

    cost: str
    severity: Severity
    rows: str
    column: str
    value: str
    file: str
    problem: str
    remedy: str
    count: int


@dataclass(frozen=True)
class Findings:
    """Lines to show, worst first, and how many problems found no room."""

    lines: tuple[Finding, ...]
    left_out: int
    total: int


def findings(problems: Sequence[Problem]) -> Findings:
    """Problems as lines: what stops the package first, then in the order of the rows.

    More than ``GROUP_ABOVE`` problems that differ only in where they are become one line that counts them.
    """
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        key = (problem.severity, problem.column or "", problem.problem, problem.remedy)
        alike.setdefault(key, []).append(problem)
    groups: list[list[Problem]] = []
    for group in alike.values():
        groups.extend([group] if len(group) > GROUP_ABOVE else [[problem] for problem in group])
    groups.sort(key=lambda group: (_ORDER.index(group[0].severity), _first_row(group)))
    shown = groups[:MOST_LINES]
    left_out = sum(len(group) for group in groups[MOST_LINES:])
    return Findings(tuple(_line(group) for group in shown), left_out, len(problems))


def promise(section: SectionView) -> str:
    """What the threshold promises of normal clips, in a sentence."""
    rate = section.promised_false_alarm_rate
    if rate is None:
        return "no promise"
    least = "at most" if section.policy == "conformal" else "about"
    above = f"{least} {percent(rate)} of normal clips are above the threshold"
    if section.extrapolated:
        return f"{above}, if a curve fitted to the normals holds beyond them"
    return above if section.promise_supported else f"{above}; the normals are too few for what was asked"


def extrapolation(section: SectionView) -> str:
    """What it means that a threshold is extrapolated; empty where it is not."""
    if not section.extrapolated or section.threshold is None:
        return ""
    beyond = section.threshold > max(section.calibration_scores, default=math.inf)
    where = "It lies beyond every normal clip heard so far" if beyond else "A fitted tail set it"
    return f"{where}: its promise is a guess until more normals come."


def alarm_rule(section: SectionView) -> str:
    """When the alarm rings, in a sentence."""
    if section.persistence is None:
        return "the alarm rings at every clip above the threshold"
    needed, window = section.persistence
    if needed == window:
        return f"the alarm rings when {window} clips in a row are above the threshold"
    return f"the alarm rings when {needed} of the last {window} clips are above the threshold"


def expected_alarms(section: SectionView) -> str:
    """How often the alarm is expected to ring without cause; empty where that is not known."""
    alarms = section.alarms_per_day
    if alarms is None:
        return ""
    if alarms < 1 / _LONG_DAYS:
        return f"less than one false alarm in {_LONG_DAYS // 365} years"
    if alarms < 0.5:
        return f"about one false alarm in {1 / alarms:,.0f} days"
    often = f"{alarms:,.0f}" if alarms >= 10 else f"{alarms:.1f}".removesuffix(".0")
    return f"about {often} false alarm{'' if often == '1' else 's'} a day"


def observed(section: SectionView) -> str:
    """What happened on normals that the model had not seen, in a sentence."""
    normals, alarms = section.observed_normals, section.observed_false_alarms
    if not normals or alarms is None:
        return "no labelled normal clips to check it on"
    share = percent(alarms / normals)
    if section.observed_interval is not None:
        low, high = section.observed_interval
        share += f", {percent(section.interval_confidence)} interval {_hundredfold(low)}-{_hundredfold(high)} %"
    unseen = f"of {count(normals)} normal clip{'' if normals == 1 else 's'} the model had not seen"
    return f"{unseen}, {count(alarms)} {'was' if alarms == 1 else 'were'} above it ({share})"


def kept(section: SectionView) -> str:
    """Whether the observed interval agrees with the promised rate; empty where that cannot be said."""
    rate, interval = section.promised_false_alarm_rate, section.observed_interval
    if rate is None or interval is None or not section.observed_normals:
        return ""
    if interval[0] > rate:
        return "more than promised"
    return "fewer than promised" if interval[1] < rate else "agrees with the promise"


def threshold_policy(name: str) -> str:
    """How a threshold was set; the name itself where it is not known."""
    return POLICIES.get(name, name)


def fault(kind: str) -> str:
    """A kind of synthetic anomaly in words; its name without underscores where there are none."""
    return FAULTS.get(kind, kind.replace("_", " "))


def level(db: float) -> str:
    """A level beside another one."""
    return f"{db:+g} dB" if db else "0 dB"


def strength(kind: str, db: float) -> str:
    """What a level of a synthetic anomaly means beside the sound of the machine."""
    ratio = 10 ** (db / 20)
    if kind == DROPOUT:
        return f"{100 * ratio:.0f} % of the machine's sound is left"
    return (
        f"{ratio:.2g} times as strong as the machine's own sound" if db else "as strong as the machine's own sound"
    )


def unheard(section: SectionView) -> str:
    """Why there is nothing to say of what a model would hear; empty where there is."""
    if not section.hears:
        return "It was not measured when this model was made."
    if section.hears[0].clips:
        return ""
    why = section.hears[0].text or "nothing could be measured: no held-out normal clip was below the threshold"
    return f"{why[:1].upper()}{why[1:]}."


def enough_caught(section: SectionView) -> str:
    """How many of the clips must be caught for a fault to count as heard."""
    clips = section.hears[0].clips if section.hears else 0
    least = math.ceil(section.caught_share * clips - 1e-9)
    if least == clips:
        return "the one clip that was tried" if clips == 1 else f"all {count(clips)} clips"
    return f"{count(least)} of {count(clips)} clips"


def caught(share: float, clips: int) -> str:
    """A share of so many clips as a count."""
    return f"{share * clips:.0f} of {count(clips)}"


def held_out(section: SectionView) -> str:
    """How many of the held-out clips the threshold flags as they are; empty where that is not known."""
    tried = section.hears[0].tried if section.hears else None
    if tried is None:
        return ""
    above = tried - section.hears[0].clips
    normals = f"held-out normal{'' if tried == 1 else 's'}"
    if not above:
        return f"None of {count(tried)} {normals} was above the threshold as it is."
    were = "was above the threshold as it is and" if above == 1 else "were above the threshold as they are and"
    return f"{count(above)} of {count(tried)} {normals} {were} {'was' if above == 1 else 'were'} left out."


def map_legend(section: SectionView) -> str:
    """How to read the anomaly maps of the shown clips; empty where there are none."""
    maps = [clip.anomaly_map for clip in section.top if clip.anomaly_map is not None]
    if not maps:
        return ""
    legend = (
        "Upper picture: the sound. Lower picture: where it differs from this machine's normal clips, low pitch at "
        "the bottom; the darker, the more, on a scale of each clip's own."
    )
    if all(found.shape[1] == 1 for found in maps):
        legend += " This model tells the pitch that differs, not the moment."
    return legend


def engine(name: str | None) -> str:
    """An engine's name with its letter."""
    letter = ENGINE_LETTERS.get(name or "")
    return f"{name} ({letter})" if letter else name or MISSING


def number(value: float | None, digits: int = 4) -> str:
    """A number to so many significant digits, or a dash."""
    return MISSING if value is None else f"{value:.{digits}g}"


def fixed(value: float | None, places: int = 3) -> str:
    """A number to so many decimal places, or a dash."""
    return MISSING if value is None else f"{value:.{places}f}"


def count(value: int | None) -> str:
    """A whole number with thousands separated, or a dash."""
    return MISSING if value is None else f"{value:,}"


def percent(share: float) -> str:
    """A share in percent to one decimal place, without a needless ``.0``; very small ones to two digits."""
    return f"{_hundredfold(share)} %"


def size(number_of_bytes: int) -> str:
    """Bytes in the unit that suits them."""
    value = float(number_of_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


@cache
def environment() -> Environment:
    """The templates of this room. Whatever a customer wrote is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("alp_assets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, fixed=fixed, count=count, percent=percent, size=size, engine=engine)
    made.filters.update(threshold_policy=threshold_policy, fault=fault, level=level)
    made.globals.update(strength=strength, caught=caught)
    made.tests["finding_group"] = lambda finding: finding.count > 1
    return made


def render(template: str, values: dict[str, Any]) -> str:
    """Fill in a template. Characters that no page may hold become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", environment().get_template(template).render(values))


def _hundredfold(share: float) -> str:
    if 0 < share < 0.001:
        return f"{100 * share:.2g}"
    return f"{100 * share:.1f}".removesuffix(".0")


def _first_row(group: list[Problem]) -> int:
    return min((problem.row for problem in group if problem.row is not None), default=0)


def _line(group: list[Problem]) -> Finding:
    first = group[0]
    return Finding(
        cost=COSTS[first.severity],
        severity=first.severity,
        rows=_ranges(problem.row for problem in group if problem.row is not None),
        column=first.column or "",
        value=_example([problem.value for problem in group]),
        file=_example([problem.file for problem in group]),
        problem=first.problem,
        remedy=first.remedy,
        count=len(group),
    )


def _example(values: list[str | None]) -> str:
    """The one value that all share, or the first of several with a word on the others."""
    several = list(dict.fromkeys(value for value in values if value is not None))
    if len(several) < 2:
        return several[0] if several else ""
    return f"{several[0]} and {len(several) - 1:,} more"


def _ranges(rows: Iterable[int]) -> str:
    ordered = sorted(set(rows))
    if not ordered:
        return ""
    breaks = [i for i, (a, b) in enumerate(pairwise(ordered), start=1) if b != a + 1]
    runs = [ordered[i:j] for i, j in pairwise([0, *breaks, len(ordered)])]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    left = sum(map(len, runs[_RANGES_SHOWN:]))
    return ", ".join(words[:_RANGES_SHOWN]) + (f" and {left:,} more" if left else "")
