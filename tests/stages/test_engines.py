"""Every engine through the stages: what was pinned is fitted, second opinions score beside it."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from alp_assets.encoders.base import Feature
from alp_assets.engines.catalog import make_engine
from alp_assets.engines.store import load_model
from alp_assets.errors import StageDamaged
from alp_assets.params import SOUND_ENGINES, with_overrides
from alp_assets.stages import hearing
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.corpus import Shelf
from alp_assets.stages.embeddings import read_embeddings, read_mixed
from alp_assets.stages.evidence import read_findings, read_maps
from alp_assets.stages.models import package_sections, read_plan, read_sensitivity, read_threshold
from alp_assets.stages.scores import OPINIONS_FILE, read_metrics, read_scores
from alp_assets.stages.single import score_file
from alp_assets.stages.verdicts import false_alarm_promise
from schemas.sections import Section
from tests.packages import FAST, audio, hum, machine_files, receive, row, run_through, table, zipped

SECTION = Section("acme", "fan", "1")
QUICK = with_overrides(
    FAST,
    {"models.meta_prototype.episodes": 10, "models.autoencoder.epochs": 5, "sensitivity.enabled": False},
)


def package(tmp_path, name="first", *, train=8, noise=0, seed=0):
    """A machine at two speeds, with noise-only recordings."""
    files, rows = machine_files(train=train, normal=3, anomaly=3, seed=seed)
    for number, item in enumerate(rows):
        item["speed_level"] = str(number % 2)
    for number in range(noise):
        path = f"audio/noise-{number}.wav"
        files[path] = audio(0.02 * np.random.default_rng(number).standard_normal(32_000).astype(np.float32))
        rows.append({**row(path), "split": "supplemental", "supp_type": "noise", "operator_confirmed": ""})
    return receive(
        tmp_path, zipped(tmp_path / f"{name}.zip", {**files, "metadata.csv": table(rows)}), package=name
    )


def entry(folder):
    return read_metrics(folder)["sections"][0]


@pytest.mark.parametrize("engine", SOUND_ENGINES)
def test_every_engine_goes_from_package_to_scores_and_scores_a_file_alone_the_same(tmp_path, engine):
    folder = package(tmp_path)
    params = with_overrides(QUICK, {"models.engine": engine})
    run_through(folder, params=params)
    scores = read_scores(folder)
    assert entry(folder)["engine"] == engine
    assert np.isfinite(scores["score"]).all()
    test = scores[scores["split"] == "test"]
    assert (
        test.loc[test["label"] == "anomaly", "score"].mean() > test.loc[test["label"] == "normal", "score"].mean()
    )
    assert set(test["state"]) <= {"NORMAL", "WARNING", "CRITICAL"}
    assert ((test["state"] == "NORMAL") == (test["decision"] == "normal")).all()
    chosen = test.iloc[0]
    wav = tmp_path / "alone.wav"
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        wav.write_bytes(archive.read(chosen["recording"]))
    (alone,) = score_file(tmp_path, SECTION, wav, params)
    assert alone.score == pytest.approx(chosen["score"], rel=1e-9)
    assert (alone.state, alone.decision) == (chosen["state"], chosen["decision"])


def test_an_engine_can_be_pinned_for_a_customer(tmp_path):
    folder = package(tmp_path)
    run_through(folder, params=with_overrides(QUICK, {"models.pins": {"acme": "isolation_forest"}}))
    plan = read_plan(folder.stage("models") / SECTION.folder)
    assert (plan["engine"], plan["letter"], plan["encoder"]) == ("isolation_forest", "L1", "descriptors")
    assert "pinned for this customer" in plan["reason"]


def test_second_opinions_score_beside_the_engine_and_decide_nothing(tmp_path):
    alone, beside = package(tmp_path, "alone"), package(tmp_path, "beside")
    run_through(alone, params=QUICK)
    opinions = ("isolation_forest", "memory_bank", "patch_memory")
    run_through(beside, params=with_overrides(QUICK, {"models.second_opinions": opinions}))
    pd.testing.assert_frame_equal(read_scores(alone), read_scores(beside))
    table = pd.read_csv(beside.stage("scores") / OPINIONS_FILE)
    assert sorted(table["engine"].unique()) == ["isolation_forest", "patch_memory"]
    assert len(table) == 2 * len(read_scores(beside))
    assert [item["engine"] for item in entry(beside)["second_opinions"]] == ["isolation_forest", "patch_memory"]


def test_a_second_opinion_that_cannot_be_had_says_why_and_stops_nothing(tmp_path):
    files, rows = machine_files(train=4, normal=1, anomaly=1)
    folder = receive(tmp_path, zipped(tmp_path / "a.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, params=with_overrides(QUICK, {"models.second_opinions": ("meta_prototype",)}))
    (opinion,) = read_plan(folder.stage("models") / SECTION.folder)["second_opinions"]
    assert opinion["engine"] == "meta_prototype"
    assert "speed_level" in opinion["problem"]
    assert entry(folder)["state"] == "scored"
    assert entry(folder)["second_opinions"] == []


def test_metadata_with_one_value_everywhere_refuse_meta_prototype_by_column(tmp_path):
    files, rows = machine_files(train=6, normal=1, anomaly=1)
    for item in rows:
        item["noise_id"] = "hall"
    folder = receive(tmp_path, zipped(tmp_path / "a.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, params=with_overrides(QUICK, {"models.engine": "meta_prototype"}))
    found = entry(folder)
    assert found["state"] == "cannot_score"
    assert "noise_id: one value everywhere" in found["reason"]


def test_noise_only_recordings_enter_the_memory_of_patches(tmp_path):
    params = with_overrides(QUICK, {"models.engine": "patch_memory"})
    quiet, noisy = package(tmp_path, "quiet"), package(tmp_path, "noisy", noise=2)
    run_through(quiet, params=params)
    run_through(noisy, params=params)
    mixed = read_mixed(noisy, Feature("alp_conv", "patches"))
    assert mixed is not None
    assert len(mixed.values) == 8 * len(params.models.patch_memory.noise_snr_db)
    assert read_mixed(quiet, Feature("alp_conv", "patches")) is None
    without, within = (
        load_model(folder.stage("models") / SECTION.folder).model.tensors() for folder in (quiet, noisy)
    )
    assert sum(value.size for value in within.values()) > 2 * sum(value.size for value in without.values())


def test_maps_and_findings_are_kept_for_what_was_flagged(tmp_path):
    folder = package(tmp_path)
    opinions = {"models.engine": "patch_memory", "models.second_opinions": ("isolation_forest",)}
    run_through(folder, params=with_overrides(QUICK, opinions))
    scores = read_scores(folder)
    flagged = scores.loc[(scores["split"] == "test") & (scores["decision"] == "anomaly"), "clip_id"]
    maps = read_maps(folder, SECTION)
    assert set(flagged) <= set(maps)
    assert len(flagged)
    assert all(item.ndim == 2 and np.isfinite(item).all() for item in maps.values())
    findings = read_findings(folder)
    assert set(findings["engine"]) <= {"isolation_forest"}
    assert findings["clip_id"].isin(scores["clip_id"]).all()
    assert set(findings["grade"]) <= {"warning", "critical"}


def test_a_test_only_package_is_embedded_as_its_champion_needs(tmp_path):
    first = package(tmp_path)
    run_through(first, params=with_overrides(QUICK, {"models.engine": "autoencoder"}))
    files, rows = machine_files(train=0, normal=2, anomaly=2, seed=5)
    later = receive(tmp_path, zipped(tmp_path / "b.zip", {**files, "metadata.csv": table(rows)}), package="later")
    run_through(later, params=QUICK)
    assert (entry(later)["state"], entry(later)["engine"]) == ("scored", "autoencoder")


def test_dcase_files_hold_the_test_clips(tmp_path):
    folder = package(tmp_path)
    run_through(folder, params=QUICK)
    scores = read_scores(folder)
    written = pd.read_csv(
        folder.stage("scores") / "dcase" / "anomaly_score_fan_section_1_test.csv",
        header=None,
        names=["file", "score"],
    )
    assert len(written) == (scores["split"] == "test").sum()
    decided = pd.read_csv(folder.stage("scores") / "dcase" / "decision_result_fan_section_1_test.csv", header=None)
    assert decided[1].sum() == ((scores["split"] == "test") & (scores["decision"] == "anomaly")).sum()


def test_the_model_says_what_it_would_hear(tmp_path):
    folder = package(tmp_path)
    run_through(folder, params=with_overrides(QUICK, {"sensitivity.enabled": True, "sensitivity.clips": 2}))
    heard = {item["kind"]: item for item in read_sensitivity(folder.stage("models") / SECTION.folder)}
    assert set(heard) == {"impulse_burst", "band_tone", "bearing_rattle", "dropout"}
    assert heard["bearing_rattle"]["caught_at_db"] is not None
    assert entry(folder)["hears"] == list(heard.values())


@pytest.mark.parametrize(
    ("target", "status", "gate"), [(0.2, "met", "passed"), (0.99, "cannot be shown", "warned")]
)
def test_the_agreed_kpi_gets_a_verdict_and_a_gate(tmp_path, target, status, gate):
    folder = package(tmp_path)
    summaries = run_through(folder, params=with_overrides(QUICK, {"kpi.target": target}))
    assert entry(folder)["kpi"]["status"] == status
    found = next(item for item in summaries["scores"].gates if item.name == "kpi")
    assert found.status == gate
    assert SECTION.section_id in found.text


def test_an_engine_gets_no_more_normals_than_it_makes_use_of_and_the_targets_first(tmp_path):
    folder = package(tmp_path, train=8)
    params = with_overrides(QUICK, {"models.memory_bank.max_normals": 5})
    run_through(folder, params=params, until="embeddings")
    shelf, (section,) = Shelf(folder), package_sections(folder)
    engine = make_engine("memory_bank", params.models)
    corpus = shelf.gather(shelf.census(section), engine, Feature("alp_conv", "pooled"))
    assert len(corpus.normals) == 5
    embedded = read_embeddings(folder, Feature("alp_conv", "pooled"))
    np.testing.assert_array_equal(corpus.normals.embeddings, embedded.values[corpus.positions])


def test_the_threshold_says_what_it_promises(tmp_path):
    folder = package(tmp_path)
    run_through(folder, params=QUICK, until="models")
    threshold = read_threshold(folder.stage("models") / SECTION.folder)
    assert threshold["policy"] == "alarms_per_day"
    assert threshold["persistence"] or threshold["extrapolated"]
    assert threshold["alarms_per_day"] <= 1 + 1e-9
    assert threshold["note"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "threshold.json"])
def test_a_flipped_byte_in_any_file_of_the_model_stops_the_package(tmp_path, name):
    folder = package(tmp_path)
    run_through(folder, params=QUICK, until="models")
    path = folder.stage("models") / SECTION.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StageDamaged, match=f"{name} has other bytes than were written. Run the stage models"):
        run_stage("scores", folder, QUICK)


def test_an_embedding_that_is_no_number_costs_the_section_and_says_what_to_do(tmp_path):
    folder = package(tmp_path)
    run_through(folder, params=QUICK, until="embeddings")
    with folder.publish("embeddings") as part:
        shutil.copytree(folder.stage("embeddings"), part, dirs_exist_ok=True)
        values = np.load(part / "alp_conv" / "pooled.npy", mmap_mode="r+")
        values[0] = np.nan
        values.flush()
    run_stage("models", folder, QUICK)
    reason = read_plan(folder.stage("models") / SECTION.folder)["reason"]
    assert "are not finite" in reason
    assert "Run the stages from clips on again" in reason


def test_normals_that_another_encoder_embedded_are_left_out_with_a_warning(tmp_path):
    run_through(package(tmp_path, "first"), params=QUICK)
    second = package(tmp_path, "second", seed=1)
    summaries = run_through(second, params=with_overrides(QUICK, {"embeddings.encoder": "logmel"}))
    gate = summaries["models"].gates[0]
    assert (gate.name, gate.status) == ("earlier_normals", "warned")
    assert "first" in gate.text


def test_held_out_normals_leave_no_sibling_among_those_that_are_learnt_from(tmp_path):
    files, rows = {}, []
    for number in range(3):
        path = f"audio/long-{number}.wav"
        files[path] = audio(hum(number, seconds=40))
        rows.append(row(path))
    folder = receive(tmp_path, zipped(tmp_path / "long.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, params=QUICK, until="embeddings")
    shelf, (section,) = Shelf(folder), package_sections(folder)
    engine = make_engine("memory_bank", QUICK.models)
    corpus = shelf.gather(shelf.census(section), engine, Feature("alp_conv", "pooled"))
    held_out = hearing._held_out(corpus, 8)
    learnt = ~hearing._with_siblings(corpus, held_out)
    recordings = corpus.normals.recordings
    assert held_out.any()
    assert learnt.any()
    assert not set(recordings[held_out]) & set(recordings[learnt])


def test_too_many_unseen_normals_above_over_many_small_machines_are_told():
    def entry_of(number):
        observed = {"false_alarms": 1, "normals": 1, "rate": 1.0, "low": 0.025, "high": 1.0}
        return {
            "section": f"acme/fan/{number}",
            "state": "scored",
            "observed": observed,
            "promised_false_alarm_rate": 0.2,
            "promise_supported": True,
        }

    assert false_alarm_promise([entry_of(0)]).status == "passed"
    gate = false_alarm_promise([entry_of(number) for number in range(8)])
    assert gate.status == "warned"
    assert "8 of 8" in gate.text
