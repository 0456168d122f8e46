"""What the report stage gathers from the folders of the stages before it, turned into what the page shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from alp_assets.audio.standardize import SAMPLE_RATE, StandardClip, write_clip
from alp_assets.engines.rules import BEARING, CAUSES
from alp_assets.files import write_json
from alp_assets.params import Params
from alp_assets.report.model import SectionView
from alp_assets.stages import report
from alp_assets.stages.evidence import FINDING_COLUMNS, FINDINGS_FILE, MAPS
from alp_assets.stages.models import PLAN_FILE, THRESHOLD_FILE
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.scores import OPINION_COLUMNS, OPINIONS_FILE
from alp_assets.stages.serving import Serving
from schemas.sections import Section

FAN = Section("acme", "fan", "1")
VALID = 3 * SAMPLE_RATE

PLAN = {
    "reason": "few target normals",
    "encoder": "ast",
    "source_normals": 40,
    "target_normals": 8,
    "second_opinions": [
        {"engine": "isolation_forest", "problem": ""},
        {"engine": "meta_prototype", "problem": "no condition takes two values"},
        {"engine": "autoencoder", "problem": ""},
    ],
}

ENTRY = {
    "machine_type": "fan",
    "section_id": "1",
    "state": "scored",
    "engine": "patch_memory",
    "model_version": "v1",
    "model_package": "first",
    "threshold": 1.0,
    "promised_false_alarm_rate": 0.02,
    "promise_supported": True,
    "promise_note": "Expected: about 2 false alarms a day.",
    "policy": "alarms_per_day",
    "extrapolated": True,
    "persistence": (3, 6),
    "alarms_per_day": 2.0,
    "observed": None,
    "kpi": {"measure": "auc", "target": 0.95, "status": "met", "value": 1.0, "low": 0.96, "high": 1.0,
            "more_clips": None, "text": "AUC: 1.000; at least 0.95 was agreed: met."},
    "states": {"NORMAL": 0, "WARNING": 1, "CRITICAL": 1},
    "hears": [
        {"kind": "band_tone", "caught_at_db": None, "clips": 4, "text": "",
         "shares": {-6.0: 0.25, 12.0: 1.0, 0.0: 0.5}},
        {"kind": "dropout", "caught_at_db": -18.0, "clips": 4, "text": "", "shares": {-6.0: 0.0, -18.0: 1.0}},
    ],
    "second_opinions": [{"engine": "isolation_forest", "flagged": 2, "threshold": 0.5, "auc": None}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFolder:
    """The folders of a package with two test clips, ``loud`` above ``soft``, of which ``loud`` is explained."""
    found = PackageFolder(tmp_path, "acme", "first")
    models, scores, audio = (
        found.stage("models") / FAN.folder,
        found.stage("scores"),
        found.stage("clips") / "audio",
    )
    for place in (models, scores / MAPS, audio):
        place.mkdir(parents=True)
    write_json(models / PLAN_FILE, PLAN)
    write_json(models / THRESHOLD_FILE, {"calibration": [{"score": 0.5}, {"score": 0.75}]})
    for name in ("loud", "soft"):
        write_clip(audio / f"{name}.wav", StandardClip(0.0, np.ones(10 * SAMPLE_RATE, np.int16), VALID))
    opinions = [
        ("loud", "isolation_forest", 0.75, 62.5, "WARNING", "anomaly", 0.5),
        ("soft", "isolation_forest", np.nan, 0.0, "NORMAL", "normal", 0.5),
    ]
    pd.DataFrame(opinions, columns=list(OPINION_COLUMNS)).to_csv(scores / OPINIONS_FILE, index=False)
    findings = [
        ("loud", "isolation_forest", BEARING, 14.0, 8.0, "dB at 120 Hz", "critical"),
        ("loud", "isolation_forest", "of_another_version", 1.0, 2.0, "dB", "warning"),
    ]
    pd.DataFrame(findings, columns=list(FINDING_COLUMNS)).to_csv(scores / FINDINGS_FILE, index=False)
    save_file({"loud": np.ones((12, 101), np.float32)}, scores / MAPS / f"{FAN.folder}.safetensors")
    monkeypatch.setattr(report, "serving_model", lambda *_: Serving(models, "v1", "first"))
    return found


def gathered(folder: PackageFolder, **changes: Any) -> SectionView:
    entry = json.loads(json.dumps({**ENTRY, **changes}, sort_keys=True))
    common = {"machine_type": "fan", "section_id": "1", "split": "test", "domain": "target", "label": "unknown"}
    scores = pd.DataFrame(
        [
            {"clip_id": "soft", "score": 1.5, "severity": 60.0, "state": "WARNING"},
            {"clip_id": "loud", "score": 3.0, "severity": 90.0, "state": "CRITICAL"},
        ]
    ).assign(recording="a.wav", decision="anomaly", threshold=1.0, **common)
    clips = pd.DataFrame(
        {"clip_id": ["loud", "soft"], "path": ["audio/loud.wav", "audio/soft.wav"], "valid_samples": VALID}
    )
    told = report._Told(clips, scores, report._read_opinions(folder), report.read_findings(folder))
    return report._section(folder, entry, told, Params())


def test_promise_verdict_and_states_are_handed_on(folder: PackageFolder) -> None:
    view = gathered(folder)
    assert (view.policy, view.extrapolated, view.persistence) == ("alarms_per_day", True, (3, 6))
    assert view.alarms_per_day == 2.0
    assert view.kpi is not None
    assert (view.kpi.status, view.kpi.text) == ("met", ENTRY["kpi"]["text"])
    assert view.states == {"NORMAL": 0, "WARNING": 1, "CRITICAL": 1}
    assert (view.engine, view.encoder) == ("patch_memory", "ast")
    assert gathered(folder, persistence=None).persistence is None


def test_levels_that_were_tried_stand_in_order_from_the_plainest(folder: PackageFolder) -> None:
    tone, dropout = gathered(folder).hears
    assert tone.shares == ((12.0, 1.0), (0.0, 0.5), (-6.0, 0.25))
    assert tone.caught_at_db is None
    assert dropout.shares == ((-18.0, 1.0), (-6.0, 0.0)), "a machine that sinks further is plainer"
    assert dropout.caught_at_db == -18.0


def test_second_opinion_without_scores_says_why(folder: PackageFolder) -> None:
    forest, prototype, autoencoder = gathered(folder).opinions
    assert (forest.engine, forest.flagged, forest.auc, forest.problem) == ("isolation_forest", 2, None, "")
    assert prototype.problem == "no condition takes two values"
    assert "does not suit this package" in autoencoder.problem, "fitted, but nothing was scored with it"


def test_shown_clips_carry_what_speaks_for_their_score(folder: PackageFolder) -> None:
    loud, soft = gathered(folder).top
    assert (loud.clip_id, loud.state, soft.clip_id, soft.state) == ("loud", "CRITICAL", "soft", "WARNING")
    assert len(loud.samples) == VALID
    assert loud.anomaly_map is not None
    assert (loud.anomaly_map.shape, loud.map_seconds, soft.anomaly_map) == ((12, 101), 10, None)
    assert [(item.engine, item.score, item.state) for item in loud.opinions] == [
        ("isolation_forest", 0.75, "WARNING")
    ]
    assert not soft.opinions[0].scored
    known, unknown = loud.causes
    assert (known.cause, known.action) == (CAUSES[BEARING].cause_en, CAUSES[BEARING].action_en)
    assert (known.measured, known.limit, known.unit) == (14.0, 8.0, "dB at 120 Hz")
    assert (unknown.cause, unknown.action) == ("of another version", "")
    assert soft.causes == ()


def test_section_that_cannot_be_scored_needs_nothing_of_this(folder: PackageFolder) -> None:
    entry = {
        "machine_type": "fan",
        "section_id": "1",
        "state": "cannot_score",
        "reason": "cannot score: no normals",
    }
    columns = ["machine_type", "section_id", "split", "clip_id", "path", "valid_samples", "label", "decision"]
    nothing = pd.DataFrame(columns=columns).assign(score=np.empty(0))
    told = report._Told(nothing, nothing, nothing, nothing)
    view = report._section(folder, entry, told, Params())
    assert (view.kpi, view.states, view.hears, view.opinions, view.top) == (None, {}, (), (), ())
    assert view.reason == "cannot score: no normals"
