"""What a model folder says of itself, read without loading the model."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alp_assets.errors import ModelCorrupt
from alp_assets.files import read_json, sha256_of
from alp_assets.store.manifest import MANIFEST_FILE

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "model.json"
PLAN_FILE = "plan.json"
THRESHOLD_FILE = "threshold.json"
SENSITIVITY_FILE = "sensitivity.json"

_FALLING = "dropout"
"""The kind of anomaly whose levels count the other way: the lower the plainer."""

_STEP_DB = 6.0
"""Not caught even at the plainest level counts as this much plainer."""


def content_hash(folder: Path) -> str:
    """The id of the version that a folder with these files is."""
    return _id_of(checksums(folder))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its name relative to the folder; a store's manifest is none of the model's."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_FILE)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def describe_folder(folder: Path) -> dict[str, Any]:
    """The columns of a version that its folder decides.

    Raises:
        ModelCorrupt: it holds no card or threshold that can be read.
    """
    try:
        card, threshold = read_json(folder / CARD_FILE), read_json(folder / THRESHOLD_FILE)
        plan = _optional(folder / PLAN_FILE, {})
        files = checksums(folder)
        encoder = card.get("encoder", {})
        settings = encoder.get("settings", {})
        return {
            "version": _id_of(files),
            "engine": str(card["engine"]),
            "letter": str(plan.get("letter", "")),
            "encoder": str(encoder.get("name", "")),
            "weights": str(settings.get("weights_sha256", "")),
            "packages": list(card.get("packages", [])),
            "clips": sum(card.get("normals", {}).values()),
            "data_hash": str(card.get("data_hash", "")),
            "parameters": dict(card.get("parameters", {})),
            "calibration": _calibration(threshold, _optional(folder / SENSITIVITY_FILE, [])),
            "threshold": float(threshold["value"]),
            "files": files,
            "bytes": sum((folder / name).stat().st_size for name in files),
            "code_version": str(card.get("code_version", "")),
        }
    except FileNotFoundError as error:
        raise ModelCorrupt(f"{error.filename}: this file of the model is missing.") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelCorrupt(f"{folder}: the model's card or threshold cannot be read ({error!r}).") from error


def _id_of(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, checksum in sorted(files.items(), key=lambda item: Path(item[0])):
        digest.update(name.encode() + b"\0" + bytes.fromhex(checksum))
    return digest.hexdigest()[:16]


def _optional(path: Path, otherwise: Any) -> Any:
    return read_json(path) if path.is_file() else otherwise


def _calibration(threshold: Mapping[str, Any], heard: list[dict[str, Any]]) -> dict[str, float]:
    scores = sorted(float(item["score"]) for item in threshold.get("calibration", []))
    found: dict[str, float] = {"count": len(scores)}
    if scores:
        found |= {"mean": statistics.fmean(scores), "deviation": statistics.pstdev(scores)}
        found |= {f"q{part}": _quantile(scores, part / 100) for part in (50, 90, 99)}
    found["support"] = sum(threshold.get("normals", {}).values()) or len(scores)
    for name in ("promised", "alarms_per_day"):
        if name in threshold:
            found[name] = float(threshold[name])
    if "asked" in threshold and "clips_per_day" in threshold:
        found["asked_per_day"] = float(threshold["asked"]) * float(threshold["clips_per_day"])
    level = _sensitivity(heard)
    return found if level is None else {**found, "sensitivity": level}


def _quantile(ordered: list[float], share: float) -> float:
    """The quantile of sorted values, between neighbours in a straight line."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _sensitivity(heard: list[dict[str, Any]]) -> float | None:
    """The mean level over the kinds of anomaly that were put in, dB relative to the machine."""
    levels = []
    for item in heard:
        if item["kind"] == _FALLING or not item["shares"]:
            continue
        level = item["caught_at_db"]
        levels.append(max(map(float, item["shares"])) + _STEP_DB if level is None else float(level))
    return statistics.fmean(levels) if levels else None
