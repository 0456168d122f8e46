"""When a later version takes its section over: the policy, in one pure function."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from alp_assets.params import PromotionParams
from alp_assets.registry.records import Version

LABELLED = {"auc": "AUC", "pauc": "partial AUC"}
"""The labelled figures that a version must hold, and what they are called."""


def objections(version: Version, champion: Version, rule: PromotionParams) -> list[str]:
    """In words why a version may not take the place of its section's champion; none means that it may."""
    if champion.pinned:
        return [f"the champion {champion.name} is pinned"]
    if _moment(version.received_at) < _moment(champion.received_at):
        return [
            f"its package {version.package} was received before {champion.package}, which the champion "
            f"{champion.name} is of"
        ]
    found = [
        _fewer_normals(version.calibration, champion.calibration, rule),
        _weaker_promise(version.calibration, champion.calibration, rule),
        _duller(version.calibration, champion.calibration, rule),
        *(_worse(name, version.metrics, champion.metrics, rule) for name in LABELLED),
    ]
    words = [text for text in found if text]
    return [f"worse than the champion {champion.name}: {'; '.join(words)}"] if words else []


def _fewer_normals(own: Mapping[str, float], other: Mapping[str, float], rule: PromotionParams) -> str:
    if "support" not in own or "support" not in other or own["support"] >= other["support"] * (1 - rule.normals):
        return ""
    return f"calibrated on {own['support']:g} normals, the champion on {other['support']:g}"


def _weaker_promise(own: Mapping[str, float], other: Mapping[str, float], rule: PromotionParams) -> str:
    """A promise that is as asked is kept, whatever the champion's; one that is not must not be weaker."""
    if not {"alarms_per_day", "asked_per_day"} <= own.keys() or "alarms_per_day" not in other:
        return ""
    rate, asked, had = own["alarms_per_day"], own["asked_per_day"], other["alarms_per_day"]
    if rate <= asked * (1 + 1e-6) or rate <= had * (1 + rule.false_alarms):
        return ""
    return (
        f"promises {rate:.3g} false alarms a day, more than the {asked:.3g} asked for and the champion's {had:.3g}"
    )


def _duller(own: Mapping[str, float], other: Mapping[str, float], rule: PromotionParams) -> str:
    if "sensitivity" not in own or "sensitivity" not in other:
        return ""
    if own["sensitivity"] <= other["sensitivity"] + rule.sensitivity_db:
        return ""
    return (
        f"hears anomalies from {own['sensitivity']:+.1f} dB relative to the machine, the champion from "
        f"{other['sensitivity']:+.1f} dB"
    )


def _worse(name: str, own: Mapping[str, float], other: Mapping[str, float], rule: PromotionParams) -> str:
    if name not in own or name not in other or own[name] >= other[name] - rule.figures:
        return ""
    return f"{LABELLED[name]} {own[name]:.3f}, the champion's {other[name]:.3f}"


def _moment(text: str) -> datetime:
    """A time as text; what says no zone is UTC, and what is no time came before all others."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
