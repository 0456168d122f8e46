"""Folders as the stage models leaves them, and a registry for them."""

import json

import pytest

from alp_assets.registry.registry import Registry
from schemas.sections import Section

FAN = Section("acme", "fan", "1호기")
JANUARY, FEBRUARY, MARCH = (f"2026-0{month}-01T00:00:00+00:00" for month in (1, 2, 3))


def write_model(folder, content, *, normals=None, alarms_per_day=1.0, hears=-6.0, package="january", **more):
    """A model folder: what the registry reads of it is real, the weights are not."""
    normals = normals or {"target": 6}
    count = sum(normals.values())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content.encode() * 100)
    card = {
        "engine": "memory_bank",
        "encoder": {"name": "alp_conv", "settings": {"weights_sha256": "ab" * 32}},
        "normals": normals,
        "packages": [package],
        "parameters": {"models": {"engine": "auto"}},
    }
    domains = [domain for domain, number in normals.items() for _ in range(number)]
    threshold = {
        "value": 1.0,
        "asked": 1 / 8640,
        "promised": 0.1,
        "supported": True,
        "extrapolated": False,
        "policy": "alarms_per_day",
        "persistence": None,
        "alarms_per_day": alarms_per_day,
        "clips_per_day": 8640.0,
        "note": "",
        "normals": normals,
        "by_domain": dict.fromkeys(normals, 1.0),
        "calibration": [
            {"clip_id": f"c{i}", "domain": domain, "own": True, "score": (i + 0.5) / count}
            for i, domain in enumerate(domains)
        ],
    }
    heard = [{"kind": "band_tone", "caught_at_db": hears, "shares": {"12.0": 1.0, "-6.0": 1.0}}]
    heard.append({"kind": "dropout", "caught_at_db": -18.0, "shares": {"-18.0": 1.0}})
    files = {"model": card | more, "plan": {"letter": "B"}, "threshold": threshold, "sensitivity": heard}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


@pytest.fixture
def fitted(tmp_path):
    """A model folder with this content."""

    def make(content, **more):
        return write_model(tmp_path / "fitted" / content, content, **more)

    return make


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def registry(root):
    return Registry(root)
