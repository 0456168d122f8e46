"""Physical rules beside the isolation forest: what about a clip is unlike the section's own normals.

A rule measures one quantity of a clip in dB and compares it with what the normals show. Its limits are
their mean plus two deviations (a warning) and plus three (critical). A deviation is never taken below a floor,
so that normals that are nearly copies ring on nothing, and it grows by what few normals leave unsure.
Fewer than three tell no deviation: a fixed one, that of ordinary machines, stands in.

Every domain has its own limits. A clip breaks a rule only if it does so in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.audio.descriptors import LAYOUT
from alp_assets.audio.envelope import ENVELOPE_HZ, LOW_HZ
from alp_assets.audio.lines import Lines, estimated_shaft, families, fault_lines, prominence, shaft_lines
from alp_assets.engines.base import SOURCE, TARGET, Finding, Grade, Normals


@dataclass(frozen=True)
class Cause:
    """What may lie behind a finding, and what to do about it, in words."""

    cause_en: str
    cause_ko: str
    action_en: str
    action_ko: str


BEARING, RESONANCE, WEAR, IMBALANCE, LEVEL = (
    "bearing_fault",
    "resonance_or_looseness",
    "early_wear",
    "imbalance",
    "level_change",
)

CAUSES: dict[str, Cause] = {
    BEARING: Cause(
        cause_en="Bearing damage: regular impacts at a bearing fault frequency",
        cause_ko="베어링 손상: 베어링 결함 주파수에서 규칙적인 충격이 나타남",
        action_en="Check lubrication, confirm with a vibration measurement, and plan to replace the bearing.",
        action_ko="윤활 상태를 점검하고 진동 측정으로 확인한 뒤 베어링 교체를 계획하십시오.",
    ),
    RESONANCE: Cause(
        cause_en="Resonance or looseness: more energy from 2 to 10 kHz than usual",
        cause_ko="공진 또는 풀림: 2~10 kHz 대역 에너지가 평소보다 큼",
        action_en="Check fastening bolts, covers and mounts, and tighten what is loose.",
        action_ko="체결 볼트, 커버, 마운트를 점검하고 풀린 곳을 조이십시오.",
    ),
    WEAR: Cause(
        cause_en="Early wear or poor lubrication: more energy above 10 kHz than usual",
        cause_ko="초기 마모 또는 윤활 불량: 10 kHz 이상 대역 에너지가 평소보다 큼",
        action_en="Check and replenish lubricant, and record again sooner than planned to follow the trend.",
        action_ko="윤활제를 점검·보충하고, 측정 주기를 앞당겨 추세를 확인하십시오.",
    ),
    IMBALANCE: Cause(
        cause_en="Imbalance: the line at the rotation frequency (1x) is stronger than usual",
        cause_ko="불평형: 회전 주파수(1x) 성분이 평소보다 강함",
        action_en="Clean the rotor of deposits, check it for damage, and balance it.",
        action_ko="회전체의 이물질과 손상 여부를 점검하고 밸런싱을 실시하십시오.",
    ),
    LEVEL: Cause(
        cause_en="Level change: the clip is louder or quieter than usual",
        cause_ko="음량 변화: 소리가 평소보다 크거나 작음",
        action_en="Check the load, whether the machine runs, and the position and gain of the microphone.",
        action_ko="부하와 운전 여부, 마이크 위치와 입력 감도를 확인하십시오.",
    ),
}
"""What the slugs of findings mean."""


_WARNING, _CRITICAL = 2.0, 3.0

_FLOOR_DB = {LEVEL: 1.0, RESONANCE: 1.0, WEAR: 1.5, IMBALANCE: 2.0, BEARING: 1.5}
"""The least that a deviation is taken for."""

_FEW = 3
_FIXED_DB = 3.0
"""With fewer recordings than this the deviation is fixed."""

_REFERENCE_DEVIATIONS = 2.0
_REFERENCE_SHIFT = 2
"""Normal lines of the envelope reach their mean and so many deviations, and move by so many Hz."""

_TYPICAL_DB, _TYPICAL_WEIGHT = 1.5, 4
"""Lines of noise vary by about 1.5 dB over ten seconds; that knowledge counts as four clips."""


@dataclass(frozen=True)
class Limits:
    """Mean and deviation, in dB, of what a rule measures in the normals."""

    mean: float
    deviation: float

    def of(self, grade: Grade, side: int = 1) -> float:
        """The limit above (``side`` 1) or below (-1) the mean."""
        return self.mean + side * (_CRITICAL if grade == "critical" else _WARNING) * self.deviation


@dataclass(frozen=True)
class Frequencies:
    """Where rules look: the rotation frequency or 0, whether it was given, and fault frequencies by name."""

    shaft_hz: float
    shaft_given: bool
    bearing_hz: dict[str, float]


@dataclass(frozen=True)
class DomainRules:
    """The rules of one domain's normals.

    ``limits`` has no entry for a rule that the normals cannot support. ``reference`` (496,) is how far
    lines of the envelope spectrum stand out in the normals, in dB.
    """

    limits: dict[str, Limits]
    reference: Lines
    frequencies: Frequencies

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the reference, as JSON."""
        return {
            "frequencies": asdict(self.frequencies),
            "limits": {cause: asdict(found) for cause, found in self.limits.items()},
        }


def restore_rules(reference: Lines, settings: Mapping[str, Any]) -> DomainRules:
    """The rules that a reference (496,) and ``DomainRules.settings`` describe."""
    limits = {cause: Limits(**values) for cause, values in settings["limits"].items()}
    return DomainRules(limits, reference, Frequencies(**settings["frequencies"]))


def fit_rules(normals: Normals, bearing_hz: Mapping[str, float], shaft_hz: float) -> dict[str, DomainRules]:
    """Rules by domain from the descriptors of normals (n, 1, d).

    A domain with a single clip joins the other. A rotation frequency of 0 is estimated; without fault
    frequencies the strongest family of lines is looked for that normals of other recordings do not show.
    """
    vectors = normals.embeddings.reshape(len(normals), LAYOUT.size).astype(np.float64)
    rules = {}
    for domain, rows in _rows_by_domain(normals.domains).items():
        shaft = shaft_hz or estimated_shaft(vectors[rows, LAYOUT.low])
        frequencies = Frequencies(float(shaft), bool(shaft_hz), dict(bearing_hz))
        rules[domain] = _fit_domain(vectors[rows], normals.recordings[rows], frequencies)
    return rules


def check(rules: Mapping[str, DomainRules], vector: npt.NDArray[Any]) -> tuple[Finding, ...]:
    """The rules that a clip's descriptors (d,) break in every domain, worst first.

    The limit is that of the domain where the clip is the least far off.
    """
    clip = vector.astype(np.float64)[None]
    by_domain = [_breaches(domain, clip) for domain in rules.values()]
    causes = [cause for cause in CAUSES if by_domain and all(cause in found for found in by_domain)]
    nearest = [min((found[cause] for found in by_domain), key=lambda pair: pair[0]) for cause in causes]
    return tuple(finding for _, finding in sorted(nearest, key=lambda pair: -pair[0]))


def _breaches(rules: DomainRules, clip: Lines) -> dict[str, tuple[float, Finding]]:
    """The rules of a domain that a clip (1, d) breaks, by cause, with how many deviations it is off."""
    found = {}
    for cause, measured in _measure(clip, rules.reference, rules.frequencies, rules.limits[LEVEL].mean).items():
        if cause not in rules.limits:
            continue
        limits, value = rules.limits[cause], float(measured.values[0])
        off = (value - limits.mean) / limits.deviation
        side = -1 if cause == LEVEL and off < 0 else 1
        if off * side > _WARNING:
            grade: Grade = "critical" if off * side > _CRITICAL else "warning"
            unit = _unit(cause, measured, rules.frequencies)
            found[cause] = (off * side, Finding(cause, value, limits.of(grade, side), unit, grade))
    return found


def _unit(cause: str, measured: _Measured, frequencies: Frequencies) -> str:
    if measured.hz is None:
        return "dB of the whole" if cause == RESONANCE else "dBFS"
    hz = float(measured.hz[0])
    if cause == IMBALANCE:
        return f"dBFS at {hz:.1f} Hz"
    given = frequencies.bearing_hz
    name = min(given, key=lambda key: abs(given[key] - hz), default="")
    return f"dB at {hz:.0f} Hz ({name})" if name else f"dB at {hz:.0f} Hz"


@dataclass(frozen=True)
class _Measured:
    """A quantity of clips (n,) in dB, NaN where there is none, and the frequency (n,) at which it was found."""

    values: Lines
    hz: Lines | None = None


def _measure(
    vectors: Lines, reference: Lines, frequencies: Frequencies, usual_level: float
) -> dict[str, _Measured]:
    """What the rules read from descriptors (n, d), given the reference (496,) or that of each clip (n, 496).

    From absolute levels of single bands the part is taken away by which the whole clip is louder than usual:
    that is the rule of the level's.
    """
    level = vectors[:, LAYOUT.level]
    louder = np.maximum(level - usual_level, 0)
    there = vectors[:, LAYOUT.has_above_10k] > 0
    found = {
        LEVEL: _Measured(level),
        RESONANCE: _Measured(vectors[:, LAYOUT.resonance]),
        WEAR: _Measured(np.where(there, vectors[:, LAYOUT.above_10k] - louder, np.nan)),
    }
    faults = fault_lines(list(frequencies.bearing_hz.values()))
    if faults.size:
        stronger = families(prominence(vectors[:, LAYOUT.envelope]) - reference)
        found[BEARING] = _strongest(stronger[:, faults], ENVELOPE_HZ[faults])
    shaft = shaft_lines(frequencies.shaft_hz, frequencies.shaft_given) if frequencies.shaft_hz else np.zeros(0)
    if shaft.size:
        line = _strongest(vectors[:, LAYOUT.low][:, shaft], LOW_HZ[shaft])
        found[IMBALANCE] = _Measured(line.values - louder, line.hz)
    return found


def _strongest(lines: Lines, hz: npt.NDArray[Any]) -> _Measured:
    return _Measured(lines.max(axis=1), hz[lines.argmax(axis=1)].astype(np.float64))


def _fit_domain(vectors: Lines, recordings: npt.NDArray[np.str_], frequencies: Frequencies) -> DomainRules:
    lines = prominence(vectors[:, LAYOUT.envelope])
    unseen = _references_of_others(lines, recordings)
    usual_level = float(vectors[:, LAYOUT.level].mean())
    limits = {}
    for cause, measured in _measure(vectors, unseen, frequencies, usual_level).items():
        there = np.isfinite(measured.values)
        if there.any():
            witnesses = len(set(recordings[there].tolist()))
            limits[cause] = _limits(measured.values[there], witnesses, _FLOOR_DB[cause])
    return DomainRules(limits, _reference(lines.mean(axis=0), lines.var(axis=0), len(lines)), frequencies)


def _limits(values: Lines, witnesses: int, floor: float) -> Limits:
    """Limits from what a rule measures in normals (n,) of so many recordings."""
    mean = float(values.mean())
    if witnesses < _FEW:
        return Limits(mean, _FIXED_DB)
    deviation = max(float(values.std(ddof=1)), floor)
    return Limits(mean, deviation * (1 + 1 / witnesses) ** 0.5)


def _reference(mean: Lines, variance: Lines, count: int) -> Lines:
    """What the lines of normals (f,) do not exceed, wherever they move."""
    from scipy.ndimage import maximum_filter1d

    variance = (count * variance + _TYPICAL_WEIGHT * _TYPICAL_DB**2) / (count + _TYPICAL_WEIGHT)
    usual = mean + _REFERENCE_DEVIATIONS * np.sqrt(variance)
    result: Lines = maximum_filter1d(usual, 2 * _REFERENCE_SHIFT + 1, mode="nearest")
    return result


def _references_of_others(lines: Lines, recordings: npt.NDArray[np.str_]) -> Lines:
    """The reference (n, f) for each normal by those of other recordings, or by other clips of the only one."""
    _, group = np.unique(recordings, return_inverse=True)
    if group.max() == 0:
        group = np.arange(len(lines))
    centre = lines.mean(axis=0)
    centred = lines - centre
    total, squares = centred.sum(axis=0), np.square(centred).sum(axis=0)
    references = np.empty_like(lines)
    for number in range(group.max() + 1):
        rows = group == number
        count = int((~rows).sum())
        mean = (total - centred[rows].sum(axis=0)) / count
        variance = np.maximum((squares - np.square(centred[rows]).sum(axis=0)) / count - mean**2, 0)
        references[rows] = _reference(centre + mean, variance, count)
    return references


def _rows_by_domain(domains: npt.NDArray[np.str_]) -> dict[str, npt.NDArray[np.intp]]:
    rows = {name: np.flatnonzero(domains == name) for name in (SOURCE, TARGET)}
    if min(len(found) for found in rows.values()) >= 2:
        return rows
    larger = max(rows, key=lambda name: len(rows[name]))
    return {larger: np.arange(len(domains))}
