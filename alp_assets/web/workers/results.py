"""What one model makes of a recording, as the JSON of a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alp_assets.audio.standardize import StandardClip
from alp_assets.engines.base import Evidence
from alp_assets.engines.catalog import make_engine
from alp_assets.engines.rules import CAUSES
from alp_assets.engines.store import CARD_FILE, SECOND
from alp_assets.params import ModelParams
from alp_assets.stages.diagnosis import Heard, Judgement, LoadedModel, judge, recorded_seconds
from alp_assets.stages.in_force import set_to
from alp_assets.web.workers import pictures
from alp_assets.web.workers.asked import (
    CLIPS,
    FINDINGS,
    MAP,
    MAP_PICTURE,
    REGIONS,
    Look,
    Start,
    loaded_model,
)

_EXPLAINED = 6
"""Clips with the highest scores that are explained also where none is above the threshold."""
_MOST_EXPLAINED = 30
_L1 = "isolation_forest"


def result_of(
    look: Look, loaded: LoadedModel, heard: Heard, parts: frozenset[str], state: dict[str, Any]
) -> dict[str, Any]:
    """The result of a look; ``parts`` say what evidence it holds."""
    start: Start = state["start"]
    fitted, chosen = loaded.threshold, look.threshold
    threshold = fitted if chosen is None or chosen.number == 0 else set_to(fitted, chosen)
    explain = parts & {REGIONS, FINDINGS, MAP, MAP_PICTURE}

    def striking(scores: Any) -> Any:
        order = np.argsort(-scores, kind="stable")
        count = max(_EXPLAINED, int((scores > threshold["value"]).sum()))
        return order[: min(count, _MOST_EXPLAINED)]

    found = judge(heard, loaded, threshold, start.params.decision, start.data_root, striking if explain else None)
    worst = int(np.argmax(found.score))
    ringing = next((number for number, on in enumerate(found.alarm) if on), None)
    clips = heard.clips(loaded.clips)
    result: dict[str, Any] = {
        "model": _about(look, loaded),
        "score": float(found.score[worst]),
        "severity": round(float(found.severity[worst]), 2),
        "state": found.state[worst],
        "alarm": ringing is not None,
        "alarm_at_s": None if ringing is None else clips[ringing].offset_s,
        "threshold": {
            "value": found.threshold,
            "number": chosen.number if chosen else 0,
            "rule": list(found.rule) if found.rule else None,
            **{name: threshold[name] for name in ("promised", "alarms_per_day", "note")},
        },
        "too_short_for_rule": found.rule is not None and len(clips) < found.rule[0],
    }
    if CLIPS in parts:
        result["clips"] = [
            {
                "offset_s": clip.offset_s,
                "seconds": round(recorded_seconds(clip), 3),
                "score": float(found.score[number]),
                "severity": round(float(found.severity[number]), 2),
                "state": found.state[number],
                "above": found.above[number],
                "alarm": found.alarm[number],
            }
            for number, clip in enumerate(clips)
        ]
    if explain:
        result |= _evidence(look, loaded, heard, found, parts, state)
    return result


def _evidence(
    look: Look,
    loaded: LoadedModel,
    heard: Heard,
    found: Judgement,
    parts: frozenset[str],
    state: dict[str, Any],
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    clips = heard.clips(loaded.clips)
    if parts & {REGIONS, MAP, MAP_PICTURE}:
        whole = pictures.whole_map([item.map for item in found.evidence], clips)
        if REGIONS in parts:
            result["regions"] = pictures.regions(whole, found.above, _bands_hz(loaded)) if whole else []
        if MAP in parts:
            result["map"] = pictures.map_values(whole) if whole else None
        if MAP_PICTURE in parts:
            result["map_png"] = pictures.map_picture(whole) if whole else None
    if FINDINGS in parts:
        result["findings"] = _findings(look, loaded, heard, found, state)
    return result


def _bands_hz(loaded: LoadedModel) -> tuple[float, float] | None:
    """The ends of the map's bands where they are mel bands whose ends are known."""
    encoder = loaded.stored.card["encoder"]
    if encoder["name"] != "logmel":
        return None
    return float(encoder["settings"]["fmin_hz"]), float(encoder["settings"]["fmax_hz"])


def _findings(
    look: Look, loaded: LoadedModel, heard: Heard, found: Judgement, state: dict[str, Any]
) -> list[dict[str, Any]]:
    """What rules found: the model's own, else those of the second opinion beside it."""
    clips, engine, evidence = heard.clips(loaded.clips), loaded.stored.card["engine"], found.evidence
    if engine != _L1:
        beside = _rules_beside(look, heard, found, state)
        if beside is None:
            return []
        clips, evidence, engine = *beside, _L1
    return [
        {
            "offset_s": clip.offset_s,
            "engine": engine,
            "cause": item.cause,
            "grade": item.grade,
            "measured": round(item.measured, 2),
            "limit": round(item.limit, 2),
            "unit": item.unit,
            "texts": _cause_texts(item.cause),
        }
        for clip, one in zip(clips, evidence, strict=True)
        for item in one.findings
    ]


def _rules_beside(
    look: Look, heard: Heard, found: Judgement, state: dict[str, Any]
) -> tuple[list[StandardClip], Sequence[Evidence]] | None:
    if look.second or not (look.version.folder / SECOND / _L1 / CARD_FILE).is_file():
        return None
    start: Start = state["start"]
    rules = loaded_model(replace(look, second=_L1), state)
    positions = [number for number, item in enumerate(found.above) if item] or range(len(found.above))
    judged = judge(
        heard,
        rules,
        rules.threshold,
        start.params.decision,
        start.data_root,
        lambda scores: [number for number in positions if number < len(scores)][:_MOST_EXPLAINED],
    )
    return heard.clips(rules.clips), judged.evidence


def _cause_texts(cause: str) -> dict[str, dict[str, str]]:
    known = CAUSES[cause]
    return {
        "en": {"cause": known.cause_en, "action": known.action_en},
        "ko": {"cause": known.cause_ko, "action": known.action_ko},
    }


def _about(look: Look, loaded: LoadedModel) -> dict[str, Any]:
    version, card = look.version, loaded.stored.card
    return {
        "id": version.version,
        "name": version.name,
        "engine": card["engine"],
        "letter": version.letter if not look.second else _letter(card["engine"]),
        "encoder": card["encoder"]["name"],
        "section": str(version.section),
        "package": version.package,
        "created_at": version.created_at,
        "state": str(version.state),
        "second_opinion": bool(look.second),
        "asked": look.asked,
    }


def _letter(engine: str) -> str:
    return make_engine(engine, ModelParams()).letter
