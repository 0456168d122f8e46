"""What the API's documentation says of answers: an example for each, and the form of every error."""

from __future__ import annotations

from typing import Any

from alp_assets.web.problems import API, MEDIA_TYPE, TITLES

SESSION: dict[str, Any] = {
    "name": "Kim (3f2a91c0)",
    "role": "operator",
    "roles": ["viewer", "operator"],
    "customer": "acme",
    "customers": ["acme"],
    "via": "session",
    "expires_at": "2026-11-21T21:00:00+00:00",
    "dagster_url": None,
    "limits": {
        "recording_bytes": 67108864,
        "recording_seconds": 900.0,
        "package_bytes": 21474836480,
        "chunk_bytes": 16777216,
    },
}

MODEL: dict[str, Any] = {
    "id": "9c1e0a7b44d2f310",
    "name": "fan-00-memory_bank-3",
    "type": "memory_bank",
    "file_name": "fan-00-memory_bank-3.safetensors",
    "meta_file": "fan-00-memory_bank-3_meta.json",
    "description": "memory_bank on logmel, fitted on 12 normal clips of fan/00",
    "is_default": True,
    "section": "acme/fan/00",
    "customer": "acme",
    "machine_type": "fan",
    "section_id": "00",
    "state": "champion",
    "pinned": False,
    "engine": "memory_bank",
    "letter": "B",
    "encoder": "logmel",
    "package": "first",
    "packages": ["first"],
    "clips": 12,
    "created_at": "2026-11-20T08:10:00+00:00",
    "metrics": {"auc_target": 0.97},
    "calibration": {"count": 12, "q50": 0.41, "promised": 0.077},
    "threshold": 0.83,
    "fitted_threshold": 0.8,
    "threshold_number": 1,
    "bytes": 81234,
    "reason": "the first model of its section",
    "second_opinions": ["isolation_forest"],
    "usable": True,
    "links": {"self": f"{API}/models/9c1e0a7b44d2f310"},
}

THRESHOLD: dict[str, Any] = {
    "number": 1,
    "value": 0.83,
    "note": "fewer alarms on night shifts",
    "who": "Kim (3f2a91c0)",
    "at": "2026-11-21T09:00:00+00:00",
    "in_force": True,
}

EVENT: dict[str, Any] = {
    "at": "2026-11-20T08:10:00+00:00",
    "who": "alp",
    "what": "promoted",
    "version": "9c1e0a7b44d2f310",
    "before": "candidate",
    "after": "champion",
    "why": "the first model of its section",
}

LABEL: dict[str, Any] = {
    "customer": "acme",
    "package": "first",
    "clip_id": "pump-17@20s",
    "label": "normal",
    "note": "a forklift passed",
    "who": "Kim (3f2a91c0)",
    "at": "2026-11-21T09:00:00+00:00",
}

DIAGNOSIS: dict[str, Any] = {
    "id": "0e5dc7a6-9c7e-4d6b-8f7f-6b1f5d1f4b60",
    "at": "2026-11-21T09:00:00+00:00",
    "took_s": 0.03,
    "recording": {
        "name": "a.wav",
        "seconds": 10.0,
        "sample_rate_hz": 16000,
        "channels": 1,
        "container": "WAV",
        "warnings": [],
    },
    "results": [
        {
            "model": {
                "id": "9c1e0a7b44d2f310",
                "name": "fan-00-memory_bank-3",
                "engine": "memory_bank",
                "letter": "B",
                "encoder": "logmel",
                "section": "acme/fan/00",
                "package": "first",
                "created_at": "2026-11-20T08:10:00+00:00",
                "state": "champion",
                "second_opinion": False,
                "asked": "champion",
            },
            "score": 1.24,
            "severity": 71.2,
            "state": "WARNING",
            "alarm": True,
            "alarm_at_s": 0.0,
            "threshold": {
                "value": 0.83,
                "number": 1,
                "rule": None,
                "promised": 0.077,
                "alarms_per_day": 1.0,
                "note": "",
            },
            "too_short_for_rule": False,
            "clips": [
                {
                    "offset_s": 0.0,
                    "seconds": 10.0,
                    "score": 1.24,
                    "severity": 71.2,
                    "state": "WARNING",
                    "above": True,
                    "alarm": True,
                }
            ],
            "regions": [],
            "findings": [
                {
                    "offset_s": 0.0,
                    "engine": "isolation_forest",
                    "cause": "imbalance",
                    "grade": "warning",
                    "measured": 9.1,
                    "limit": 6.0,
                    "unit": "dB at 24.5 Hz",
                    "texts": {
                        "en": {"cause": "Imbalance: …", "action": "Clean the rotor …"},
                        "ko": {"cause": "불평형: …", "action": "회전체의 …"},
                    },
                }
            ],
            "map": None,
        }
    ],
}

UPLOAD: dict[str, Any] = {
    "id": "5f0c2f6d0a9b4b0f8f6c1b7e4d3a2c1e",
    "customer": "acme",
    "package": "first",
    "filename": "first.zip",
    "bytes": 12345,
    "offset": 0,
    "complete": False,
    "expires_at": "2026-11-22T09:00:00+00:00",
    "check": None,
}

SENT: dict[str, Any] = {
    "customer": "acme",
    "package": "first",
    "links": {"self": f"{API}/packages/acme/first", "events": f"{API}/packages/acme/first/events"},
}

PACKAGE: dict[str, Any] = {
    "customer": "acme",
    "package": "first",
    "state": "finished",
    "scored": True,
    "received_at": "2026-11-20T08:00:00+00:00",
    "bytes": 12345,
    "original_name": "first.zip",
    "links": {"self": f"{API}/packages/acme/first"},
}


def shows(example: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The documentation of an answer in JSON."""
    return {status: {"description": "As asked.", "content": {"application/json": {"example": example}}}}


def form(media_type: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """The documentation of a request body that is read as a stream."""
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {media_type: content}}}


ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error (RFC 9457).",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {
                            "type": "string",
                            "enum": [f"{API}/problems/{kind}" for kind in TITLES],
                        },
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "instance": {"type": "string"},
                        "remedy": {"type": "string"},
                    },
                },
                "example": {
                    "type": f"{API}/problems/model-missing",
                    "title": "No such model",
                    "status": 404,
                    "detail": "There is no model 9c1e.",
                    "instance": f"{API}/models/9c1e",
                },
            }
        },
    }
}
