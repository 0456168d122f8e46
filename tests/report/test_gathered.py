"""What the report gathers from the folders of the stages before it, turned into what the page shows."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from alp_assets.audio.standardize import SAMPLE_RATE, StandardClip, write_clip
from alp_assets.engines.rules import BEARING, CAUSES
from alp_assets.engines.store import CARD_FILE
from alp_assets.files import write_json
from alp_assets.params import Params, with_overrides
from alp_assets.report.model import SectionView
from alp_assets.report.words import Words, same
from alp_assets.stages import report_view
from alp_assets.stages.clips import CLIPS_FILE, SETTINGS_FILE
from alp_assets.stages.evidence import FINDING_COLUMNS, FINDINGS_FILE, MAPS
from alp_assets.stages.models import PLAN_FILE, THRESHOLD_FILE
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.scores import OPINION_COLUMNS, OPINIONS_FILE
from alp_assets.stages.serving import Serving
from schemas.columns import CONDITION_COLUMNS
from schemas.sections import Section

FAN = Section("acme", "fan", "1")
VALID = 3 * SAMPLE_RATE

PLAN = {
    "engine": "patch_memory",
    "reason": "few target normals",
    "encoder": "ast",
    "source_normals": 40,
    "target_normals": 8,
    "left_out": ["old-1: other settings"],
    "second_opinions": [
        {"engine": "isolation_forest", "problem": ""},
        {"engine": "meta_prototype", "problem": "no condition takes two values"},
        {"engine": "autoencoder", "problem": ""},
    ],
}
THRESHOLD = {
    "calibration": [{"score": 0.5}, {"score": 0.75}],
    "promised": 0.02,
    "asked": 0.0001,
    "supported": True,
    "extrapolated": True,
    "policy": "alarms_per_day",
    "normals": {"source": 40, "target": 8},
}
ENTRY = {
    "machine_type": "fan",
    "section_id": "1",
    "state": "scored",
    "engine": "patch_memory",
    "model_version": "v1",
    "model_package": "first",
    "threshold": 1.0,
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

NAMES = ("soft", "loud", *(f"n{k}" for k in range(12)), "hiss")


def clips_table() -> pd.DataFrame:
    """Two test clips, twelve training normals from two microphones, and a recording of noise alone."""
    return pd.DataFrame(
        {
            "clip_id": NAMES,
            "path": [f"audio/{name}.wav" for name in NAMES],
            "valid_samples": VALID,
            "sample_rate_hz": 16_000.0,
            "modality": "sound",
            "machine_type": "fan",
            "section_id": "1",
            "split": ["test"] * 2 + ["train"] * 12 + ["supplemental"],
            "domain": "target",
            "label": ["unknown"] * 2 + ["normal"] * 12 + ["unknown"],
            "recorded_at": pd.to_datetime(["2024-05-01 08:00"] * 14 + [None]),
            "offset_s": [0.0, 10.0, *[0.0] * 13],
            "supp_type": [None] * 14 + ["noise"],
            "mic_position_id": ["near", "far"] + ["near"] * 6 + ["far"] * 6 + ["near"],
            "noise_id": None,
            "speed_level": "low",
            "load_level": None,
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFolder:
    """The folders of a package with two test clips, ``loud`` above ``soft``, of which ``loud`` is explained."""
    found = PackageFolder(tmp_path, "acme", "first")
    models, scores, clips = (found.stage("models") / FAN.folder, found.stage("scores"), found.stage("clips"))
    embedded = found.stage("embeddings") / "logmel"
    for place in (models, scores / MAPS, clips / "audio", embedded):
        place.mkdir(parents=True)
    write_json(models / PLAN_FILE, PLAN)
    write_json(models / THRESHOLD_FILE, THRESHOLD)
    write_json(models / CARD_FILE, {"parameters": {"models": Params().models.model_dump(mode="json")}})
    for name in NAMES:
        write_clip(clips / f"audio/{name}.wav", StandardClip(0.0, np.ones(10 * SAMPLE_RATE, np.int16), VALID))
    clips_table().to_parquet(clips / CLIPS_FILE, index=False)
    write_json(clips / SETTINGS_FILE, {"channel": 1})
    clips_table()[["clip_id"]].to_parquet(embedded / "clips.parquet", index=False)
    write_json(embedded / "encoder.json", {"name": "logmel", "settings": {}, "clips": {"channel": 1}})
    np.save(embedded / "pooled.npy", np.random.default_rng(0).normal(size=(15, 8, 2)).astype(np.float32))
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
    monkeypatch.setattr(report_view, "serving_model", lambda *_: Serving(models, "v1", "first"))
    return found


def gathered(folder: PackageFolder, params: Params | None = None, **changes: Any) -> SectionView:
    entry = json.loads(json.dumps({**ENTRY, **changes}, sort_keys=True))
    table = clips_table()
    scored = table[table["split"] != "supplemental"][
        ["clip_id", "machine_type", "section_id", "split", "domain", "label"]
    ].assign(recording="a.wav", decision="anomaly", threshold=1.0, severity=60.0, state="WARNING")
    scored["score"] = [1.5, 3.0, *np.linspace(0.1, 0.3, 6), *np.linspace(0.6, 0.8, 6)]
    scored.loc[scored["clip_id"] == "loud", ["severity", "state"]] = [90.0, "CRITICAL"]
    told = report_view._Told(table, scored, report_view._read_opinions(folder), report_view.read_findings(folder))
    return report_view._section(folder, entry, told, params or Params())


def test_promise_verdict_and_states_are_handed_on(folder: PackageFolder) -> None:
    view = gathered(folder)
    assert view.promise is not None
    assert (view.promise.promised, view.promise.asked, view.promise.extrapolated) == (0.02, 0.0001, True)
    assert view.promise.witnesses == {"source": 40, "target": 8}
    assert (view.persistence, view.alarms_per_day) == ((3, 6), 2.0)
    assert view.kpi is not None
    assert (view.kpi.status, view.kpi.measure, view.kpi.low) == ("met", "auc", 0.96)
    assert view.states == {"NORMAL": 0, "WARNING": 1, "CRITICAL": 1}
    assert (view.engine, view.encoder, view.left_out) == ("patch_memory", "ast", ("old-1",))
    assert gathered(folder, persistence=None).persistence is None


@pytest.mark.parametrize(
    ("plan", "settings", "why"),
    [
        ({}, {}, "few"),
        ({"engine": "memory_bank"}, {}, "other"),
        ({"engine": "memory_bank", "encoder": "logmel"}, {}, "few_without_weights"),
        ({"engine": "memory_bank", "target_normals": 10}, {}, "enough_target"),
        ({"engine": "memory_bank", "source_normals": 50}, {}, "enough_source"),
        ({"engine": "meta_prototype"}, {"models.engine": "auto+c"}, "conditions"),
        ({}, {"models.engine": "patch_memory"}, "asked"),
        ({}, {"models.pins.acme": "patch_memory"}, "pinned"),
    ],
)
def test_reason_for_the_engine_is_found_from_the_figures(
    folder: PackageFolder, plan: dict[str, Any], settings: dict[str, Any], why: str
) -> None:
    models = folder.stage("models") / FAN.folder
    write_json(models / PLAN_FILE, {**PLAN, **plan})
    fitted = with_overrides(Params(), settings).models.model_dump(mode="json")
    write_json(models / CARD_FILE, {"parameters": {"models": fitted}})
    assert gathered(folder).why == why


def test_reason_of_a_model_of_another_version_is_told_as_it_stands(folder: PackageFolder) -> None:
    write_json(folder.stage("models") / FAN.folder / CARD_FILE, {"parameters": {"models": {"engine": "gone"}}})
    view = gathered(folder)
    assert (view.why, view.reason) == ("other", "few target normals")


def test_levels_that_were_tried_stand_in_order_from_the_plainest(folder: PackageFolder) -> None:
    tone, dropout = gathered(folder).hears
    assert tone.shares == ((12.0, 1.0), (0.0, 0.5), (-6.0, 0.25))
    assert tone.caught_at_db is None
    assert dropout.shares == ((-18.0, 1.0), (-6.0, 0.0)), "a machine that sinks further is plainer"
    assert dropout.caught_at_db == -18.0


@pytest.mark.parametrize(
    ("tried", "text", "why"),
    [
        (3, "nothing could be measured: all 3 held-out normals were above the threshold", "none_quiet"),
        (0, "nothing could be measured: too few normals would be left to learn from", "none_left"),
        (0, "nothing could be measured: no held-out normal of at least a second could be scored", "none_scored"),
        (None, "", "other"),
    ],
)
def test_hearing_that_failed_says_why(folder: PackageFolder, tried: int | None, text: str, why: str) -> None:
    item = {"kind": "band_tone", "caught_at_db": None, "clips": 0, "shares": {}, "tried": tried, "text": text}
    assert gathered(folder, hears=[item]).why_unheard == why
    assert gathered(folder, hears=[]).why_unheard == "not_measured"


def test_second_opinion_without_scores_says_why(folder: PackageFolder) -> None:
    forest, prototype, autoencoder = gathered(folder).opinions
    assert (forest.engine, forest.flagged, forest.auc, forest.problem) == ("isolation_forest", 2, None, "")
    assert prototype.problem == "no condition takes two values"
    assert "does not suit this package" in autoencoder.problem, "fitted, but nothing was scored with it"


def test_shown_clips_carry_what_speaks_for_their_score(folder: PackageFolder) -> None:
    loud, soft = gathered(folder).top
    assert (loud.clip_id, loud.state, soft.clip_id, soft.state) == ("loud", "CRITICAL", "soft", "WARNING")
    assert (loud.path, loud.recorded_at) == ("audio/loud.wav", datetime(2024, 5, 1, 8, 0, 10))
    assert len(loud.samples) == VALID
    assert loud.anomaly_map is not None
    assert (loud.anomaly_map.shape, loud.map_seconds, soft.anomaly_map) == ((12, 101), 10, None)
    assert [(item.engine, item.score, item.state) for item in loud.opinions] == [
        ("isolation_forest", 0.75, "WARNING")
    ]
    assert not soft.opinions[0].scored
    first, unknown = loud.causes
    assert first.cause == Words(CAUSES[BEARING].cause_en, CAUSES[BEARING].cause_ko)
    assert first.action.ko == CAUSES[BEARING].action_ko
    assert (first.measured, first.limit, first.unit) == (14.0, 8.0, "dB at 120 Hz")
    assert unknown.cause == same("of another version")
    assert soft.causes == ()


def test_every_clip_has_a_place_and_those_that_are_scored_a_score(folder: PackageFolder) -> None:
    view = gathered(folder)
    by_name = {point.clip_id: point for point in view.points}
    assert list(by_name) == list(NAMES)
    assert all(point.place is not None for point in view.points)
    assert view.spread is not None
    hiss, loud = by_name["hiss"], by_name["loud"]
    assert (hiss.label, hiss.score, hiss.recorded_at) == ("noise", None, None)
    assert (loud.label, loud.score, loud.recorded_at) == ("unknown", 3.0, datetime(2024, 5, 1, 8, 0, 10))


def test_map_is_made_of_what_the_encoder_left(folder: PackageFolder) -> None:
    place = folder.stage("embeddings") / "logmel"
    pooled = np.load(place / "pooled.npy")
    (place / "pooled.npy").unlink()
    assert gathered(folder).spread is None
    np.save(place / "patches.npy", np.repeat(pooled[:, None, :, None, :], 4, axis=3).astype(np.float16))
    assert gathered(folder).spread is not None


def test_conditions_of_normals_are_compared(folder: PackageFolder) -> None:
    far, near = gathered(folder).effects
    assert (far.column, far.value, far.n, near.value, near.n) == ("mic_position_id", "far", 6, "near", 6)
    assert far.shift > 0 > near.shift
    assert far.chance is not None
    assert far.chance < 0.01


def test_supply_counts_what_was_sent(folder: PackageFolder) -> None:
    supply = gathered(folder).supply
    assert (supply.noise_only, supply.days) == (1, 1)
    assert supply.values == {"mic_position_id": 2, "noise_id": 0, "speed_level": 1, "load_level": 0}


@pytest.mark.parametrize(
    ("plan", "entry", "why"),
    [
        ({"reason": "no normals yet"}, {"reason": "cannot score: no normals yet"}, "no_normals"),
        (
            {"reason": "only 1", "target_normals": 1},
            {"reason": "cannot score: only 1"},
            "too_few_normals",
        ),
        (
            {"reason": "its embeddings are not finite", "target_normals": 9},
            {"reason": "cannot score: its embeddings are not finite"},
            "other",
        ),
        ({"reason": "no normals yet"}, {"reason": "cannot score: its model does not suit"}, "other"),
        ({"reason": "few", "engine": "memory_bank"}, {"reason": "cannot score: x", "damaged": True}, "damaged"),
    ],
)
def test_section_that_cannot_be_scored_says_why_and_needs_nothing_else(
    folder: PackageFolder, plan: dict[str, Any], entry: dict[str, Any], why: str
) -> None:
    unfit = {**PLAN, "engine": "", "source_normals": 0, "target_normals": 0, **plan}
    write_json(folder.stage("models") / FAN.folder / PLAN_FILE, unfit)
    told = {"machine_type": "fan", "section_id": "1", "state": "cannot_score", **entry}
    clips = clips_table().iloc[:0]
    nothing = clips.drop(columns=list(CONDITION_COLUMNS)).assign(score=np.empty(0), decision="")
    view = report_view._section(folder, told, report_view._Told(clips, nothing, nothing, nothing), Params())
    assert view.why_not == why
    assert (view.kpi, view.promise, view.states, view.hears, view.opinions, view.top) == (
        None,
        None,
        {},
        (),
        (),
        (),
    )
    assert (view.points, view.effects, view.spread) == ((), (), None)
    assert view.reason == entry["reason"]
