"""A package from zip to report, by the plain stage functions."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from alp_assets.encoders.base import Feature, Sound
from alp_assets.encoders.catalog import make_encoder
from alp_assets.errors import GateFailed, StageMissing
from alp_assets.params import with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.embeddings import read_embeddings
from alp_assets.stages.models import read_threshold
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.scores import COLUMNS, read_metrics, read_scores
from tests.packages import (
    FAST,
    audio,
    hum,
    machine_files,
    machine_package,
    receive,
    row,
    run_through,
    table,
    zipped,
)


def digests(folder: PackageFolder, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        path.relative_to(folder.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file() and path.relative_to(folder.path).parts[0] not in without
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipeline")
    folder = receive(root / "data", machine_package(root / "p.zip"))
    return folder, run_through(folder)


def test_faulty_clips_score_higher_and_ring(done):
    folder, _ = done
    scores = read_scores(folder)
    assert tuple(scores.columns) == COLUMNS
    test = scores[scores["split"] == "test"]
    normal, anomaly = (test.loc[test["label"] == label, "score"] for label in ("normal", "anomaly"))
    assert anomaly.min() > normal.max()
    assert set(test.loc[test["label"] == "anomaly", "decision"]) == {"anomaly"}
    assert ((test["score"] > test["threshold"]) == (test["decision"] == "anomaly")).all()
    assert test["severity"].between(0, 100).all()
    assert (test.loc[test["decision"] == "anomaly", "severity"] > 50).all()


def test_metrics_hold_figures_counts_and_parameters(done):
    folder, _ = done
    metrics = read_metrics(folder)
    assert metrics["overall"]["auc"] == 1.0
    assert metrics["sections"][0]["auc_target"] == 1.0
    assert metrics["sections"][0]["auc_source"] is None
    assert "source" in metrics["sections"][0]["note"]
    flagged = int((read_scores(folder).query("split == 'test'")["decision"] == "anomaly").sum())
    assert flagged >= 4
    assert metrics["counts"] == {"sections": 1, "scored": 1, "clips": 14, "test_clips": 8, "flagged": flagged}
    assert metrics["parameters"]["decision"]["alarms_per_day"] == 1


def test_train_clips_get_the_score_of_a_model_that_has_not_seen_them(done):
    folder, _ = done
    scores = read_scores(folder).set_index("clip_id")
    threshold = read_threshold(folder.stage("models") / "fan__1")
    for item in threshold["calibration"]:
        assert scores.loc[item["clip_id"], "score"] == pytest.approx(item["score"])


def test_what_so_few_normals_support_is_said(done):
    folder, summaries = done
    entry = read_metrics(folder)["sections"][0]
    assert entry["promise_supported"]
    assert entry["promised_false_alarm_rate"] == pytest.approx(1 / 7)
    assert "6 target normals" in entry["promise_note"]
    assert entry["persistence"] == [6, 6]
    gate = {gate.name: gate for gate in summaries["scores"].gates}["false_alarm_promise"]
    assert gate.status == "passed"
    assert f"of {entry['observed']['normals']} unseen normals" in gate.text


def test_the_model_card_says_what_made_it(done):
    folder, _ = done
    place = folder.stage("models") / "fan__1"
    card = json.loads((place / "model.json").read_text())
    assert card["engine"] == "memory_bank"
    assert card["encoder"]["name"] == "alp_conv"
    assert len(card["encoder"]["settings"]["weights_sha256"]) == 64
    assert card["normals"] == {"source": 0, "target": 6}
    assert {path.suffix for path in place.iterdir()} == {".json", ".safetensors"}
    assert json.loads((place / "plan.json").read_text())["reason"]


def test_running_again_gives_the_same_bytes(done):
    folder, _ = done
    before = digests(folder)
    run_through(folder)
    assert digests(folder) == before


def test_more_threads_give_the_same_bytes(done):
    folder, _ = done
    before = digests(folder)
    run_through(folder, params=with_overrides(FAST, {"run.workers": 4}))
    assert digests(folder) == before


def test_the_upload_is_kept_byte_for_byte(tmp_path):
    archive = machine_package(tmp_path / "p.zip", train=2, normal=0, anomaly=0)
    folder = receive(tmp_path / "data", archive)
    assert (folder.stage("upload") / "package.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_without_those_before_it_refuses(tmp_path, stage):
    with pytest.raises(StageMissing, match="has not run"):
        run_stage(stage, PackageFolder(tmp_path, "acme", "first"), FAST)


def test_a_stage_asked_for_on_its_own_refuses_a_package_that_failed_its_gate(tmp_path):
    files = {"audio/a.wav": audio(np.zeros(32_000, np.float32))}
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row("audio/a.wav")])}))
    summaries = run_through(folder)
    assert list(summaries) == ["metadata", "quality"]
    for stage in STAGES[3:]:
        with pytest.raises(GateFailed, match="audio_quality"):
            run_stage(stage, folder, FAST)


def test_a_test_clip_scores_the_same_whatever_else_is_sent(tmp_path):
    """Test clips influence neither model nor threshold nor each other."""
    files, rows = machine_files(train=5, normal=3, anomaly=0)
    alone_rows = rows[:6]
    more_files, more_rows = machine_files(train=0, normal=0, anomaly=6, seed=9)
    results = []
    for name, kept, extra in (("alone", alone_rows, []), ("many", rows, more_rows)):
        zip_path = zipped(tmp_path / f"{name}.zip", {**files, **more_files, "metadata.csv": table(kept + extra)})
        folder = receive(tmp_path / name, zip_path)
        run_through(folder, until="scores")
        results.append(read_scores(folder).set_index("clip_id"))
    alone, many = results
    shared = alone.index
    pd.testing.assert_frame_equal(alone, many.loc[shared])


def test_sections_are_worked_each_by_itself(tmp_path):
    files_a, rows_a = machine_files(section="a", train=4, normal=2, anomaly=2)
    files_b, rows_b = machine_files(section="b", train=4, normal=2, anomaly=2, seed=5, machine_type="pump")
    both = zipped(tmp_path / "both.zip", {**files_a, **files_b, "metadata.csv": table(rows_a + rows_b)})
    one = zipped(tmp_path / "one.zip", {**files_a, "metadata.csv": table(rows_a)})
    two_sections = receive(tmp_path / "x", both)
    one_section = receive(tmp_path / "y", one)
    run_through(two_sections, until="scores")
    run_through(one_section, until="scores")
    scores = read_scores(two_sections)
    assert scores.groupby(["machine_type", "section_id"]).ngroups == 2
    same = scores[scores["section_id"] == "a"].drop(columns="clip_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(same, read_scores(one_section).drop(columns="clip_id"))


def test_long_recordings_are_cut_and_keep_parent_offset_and_regions(tmp_path):
    sound = hum(1, seconds=25.0)
    files = {"audio/long.wav": audio(sound), "audio/t.wav": audio(hum(2)), "audio/u.wav": audio(hum(3))}
    rows = [
        row("audio/t.wav", split="train", label="normal"),
        row("audio/u.wav", split="train", label="normal"),
        row(
            "audio/long.wav",
            split="test",
            label="anomaly",
            anomaly_regions="[[12.0, 21.5]]",
            operator_confirmed="",
        ),
    ]
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="clips")
    clips = pd.read_parquet(folder.stage("clips") / "clips.parquet")
    long = clips[clips["recording"] == "audio/long.wav"]
    assert long["offset_s"].tolist() == [0.0, 10.0, 20.0]
    assert long["valid_samples"].tolist() == [160_000, 160_000, 80_000]
    assert long["label"].tolist() == ["unknown", "anomaly", "anomaly"]
    assert [json.loads(text) for text in long["anomaly_regions"]] == [[], [[2.0, 10.0]], [[0.0, 1.5]]]
    assert clips["clip_id"].is_unique


def test_padding_never_shapes_a_score(tmp_path):
    """A two-second recording scores as its two seconds do, not as two seconds and eight of silence."""
    files, rows = machine_files(train=4, normal=2, anomaly=0)
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="embeddings")
    first = np.rint(np.clip(hum(0), -1, 1) * 32768) / 32768
    encoder = make_encoder("alp_conv", FAST.embeddings, tmp_path)
    expected = encoder.encode([Sound(first.astype(np.float32))], ["pooled"])["pooled"][0]
    np.testing.assert_allclose(
        read_embeddings(folder, Feature("alp_conv", "pooled")).values[0], expected, atol=0.5
    )
