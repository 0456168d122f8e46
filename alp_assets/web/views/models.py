"""Model versions as JSON: the form of ``registry.json``, and what else is known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from alp_assets.engines.store import CARD_FILE, second_folders
from alp_assets.registry.exchange import registry_json
from alp_assets.registry.records import Event, ThresholdVersion, Version
from alp_assets.web.problems import API

LOWER_IS_BETTER = ("observed_false_alarms", "alarms_per_day", "promised", "sensitivity", "threshold_shift")


def model(version: Version, thresholds: Sequence[ThresholdVersion]) -> dict[str, Any]:
    """A version as lists show it."""
    (entry,) = registry_json([version])["models"]
    last = thresholds[-1] if thresholds else None
    section = version.section
    return {
        **entry,
        "section": str(section),
        "customer": section.customer,
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "state": str(version.state),
        "pinned": version.pinned,
        "engine": version.engine,
        "letter": version.letter,
        "encoder": version.encoder,
        "package": version.package,
        "packages": list(version.packages),
        "clips": version.clips,
        "created_at": version.created_at,
        "metrics": figures(version.metrics),
        "calibration": figures(version.calibration),
        "threshold": number(last.value if last else version.threshold),
        "fitted_threshold": number(version.threshold),
        "threshold_number": last.number if last else 0,
        "bytes": version.bytes,
        "reason": version.reason,
        "second_opinions": [folder.name for folder in second_folders(version.folder)],
        "usable": (version.folder / CARD_FILE).is_file(),
        "links": {"self": f"{API}/models/{quote(version.version)}"},
    }


def details(version: Version, thresholds: Sequence[ThresholdVersion], events: Sequence[Event]) -> dict[str, Any]:
    """A version as its own page shows it; whether its files are whole is looked at now."""
    from alp_assets.errors import ModelCorrupt
    from alp_assets.registry.registry import verify

    problem = ""
    try:
        verify(version)
    except ModelCorrupt as error:
        problem = str(error).replace(str(version.folder), version.name)
    return {
        **model(version, thresholds),
        "parameters": finite(dict(version.parameters)),
        "weights": version.weights,
        "data_hash": version.data_hash,
        "files": dict(version.files),
        "code_version": version.code_version,
        "received_at": version.received_at,
        "history": [event(item) for item in events],
        "thresholds": threshold_list(thresholds),
        "healthy": not problem,
        "problem": problem,
    }


def threshold_list(thresholds: Sequence[ThresholdVersion]) -> list[dict[str, Any]]:
    """Thresholds of a version, newest first; the newest is in force."""
    return [threshold(item, in_force=item is thresholds[-1]) for item in reversed(thresholds)]


def threshold(item: ThresholdVersion, *, in_force: bool) -> dict[str, Any]:
    """One threshold."""
    return {
        "number": item.number,
        "value": number(item.value),
        "note": item.note,
        "who": item.who,
        "at": item.at,
        "in_force": in_force,
    }


def event(item: Event) -> dict[str, Any]:
    """One decision."""
    return asdict(item)


def compared(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of figures that several versions (as ``model`` makes them) have, and which is best in each."""
    rows = []
    for group in ("metrics", "calibration"):
        names = dict.fromkeys(name for item in versions for name in item[group])
        for name in names:
            values = [item[group].get(name) for item in versions]
            better = "lower" if name in LOWER_IS_BETTER else "higher" if group == "metrics" else ""
            rows.append(
                {
                    "name": name,
                    "group": group,
                    "values": values,
                    "better": better,
                    "best": _best(values, better),
                }
            )
    return rows


def figures(values: Mapping[str, Any]) -> dict[str, Any]:
    """Figures without those that are no numbers."""
    return {name: number(value) for name, value in values.items()}


def finite(value: Any) -> Any:
    """Any tree with ``None`` in place of what JSON cannot say."""
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return number(value)


def number(value: Any) -> Any:
    """A value, or ``None`` for a float that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _best(values: Sequence[Any], better: str) -> int | None:
    known = [(value, index) for index, value in enumerate(values) if isinstance(value, int | float)]
    if not better or len({value for value, _ in known}) < 2:
        return None
    chosen = min(known) if better == "lower" else max(known, key=lambda item: (item[0], -item[1]))
    return chosen[1]
