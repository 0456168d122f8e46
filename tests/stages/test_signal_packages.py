"""Motor current, flux and vibration from zip to report, alone and beside sound, and with faults in the data."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from alp_assets.encoders.base import Feature
from alp_assets.errors import AlpError
from alp_assets.params import with_overrides
from alp_assets.stages.clips import read_clips
from alp_assets.stages.embeddings import read_embeddings
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.models import read_plan
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.preflight import preflight
from alp_assets.stages.quality import read_quality
from alp_assets.stages.scores import read_metrics, read_scores
from alp_assets.stages.single import score_file
from schemas.sections import Section
from tests.packages import FAST, machine_files, receive, row, run_through, table, tree, zipped

POINTS = 1024
RATE = 2000
PARAMS = with_overrides(FAST, {"signals.clip_points": POINTS // 2, "quality.silence_dbfs": -85.0})
HEADER = "TIME,phase_a,phase_b,phase_c,flux"


def currents(seed, *, points=POINTS, faulty=False, rate=RATE):
    """Phases and flux (4, points) of a motor; a faulty one has a weak phase and sidebands."""
    rng = np.random.default_rng(seed)
    time = np.arange(points) / rate + rng.uniform(0, 1)
    ripple = 1 + 0.15 * faulty * np.sin(2 * np.pi * 11 * time)
    levels = (1.0, 0.8 if faulty else 1.0, 1.0)
    phases = [
        level * ripple * np.sin(2 * np.pi * (60 * time - turn / 3))
        + 0.05 * np.sin(2 * np.pi * 5 * (60 * time - turn / 3))
        for turn, level in enumerate(levels)
    ]
    values = 10 * np.stack([*phases, 0.3 * np.sin(2 * np.pi * 60 * time + 1)])
    return (values + 0.05 * rng.standard_normal(values.shape)).astype(np.float32)


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values.T)
    return stream.getvalue()


def csv(values, *, header=HEADER, time=None):
    time = np.arange(values.shape[1]) / RATE if time is None else time
    lines = [",".join(f"{cell:.6g}" for cell in line) for line in np.column_stack([time, values.T])]
    return "\n".join([header, *lines] if header else lines).encode()


def signal_row(path, **more):
    about = {"modality": "current", "sample_rate_hz": RATE, "channels": "phase_a,phase_b,phase_c,flux"}
    return row(path, machine_type="motor", section_id="m1", **{**about, **more})


def motor_files(*, train=5, normal=2, anomaly=3, seed=0, **more):
    files, rows = {}, []
    kinds = [("train", "normal")] * train + [("test", "normal")] * normal + [("test", "anomaly")] * anomaly
    for number, (split, label) in enumerate(kinds):
        path = f"signals/{split}_{label}_{seed}_{number}.npy"
        files[path] = npy(
            currents(100 * seed + number, faulty=label == "anomaly", rate=more.get("sample_rate_hz", RATE))
        )
        confirmed = "" if label == "anomaly" else "yes"
        rows.append(signal_row(path, split=split, label=label, operator_confirmed=confirmed, **more))
    return files, rows


def sent(place, files, rows, **names):
    name = names.get("package", "first")
    return receive(place, zipped(place / f"{name}.zip", {**files, "metadata.csv": table(rows)}), **names)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = sent(tmp_path_factory.mktemp("motors"), *motor_files())
    return folder, run_through(folder, params=PARAMS)


def test_faulty_motors_score_higher_and_ring(done):
    folder, summaries = done
    assert list(summaries)[-1] == "report"
    scores = read_scores(folder).query("split == 'test'")
    normal, anomaly = (scores.loc[scores["label"] == label, "score"] for label in ("normal", "anomaly"))
    assert anomaly.min() > normal.max()
    assert set(scores.loc[scores["label"] == "anomaly", "decision"]) == {"anomaly"}
    (entry,) = read_metrics(folder)["sections"]
    assert (entry["engine"], entry["auc"], entry["auc_recordings"]) == ("signal_spectrum", 1.0, 1.0)


def test_what_was_measured_is_kept_for_each_channel(done):
    folder, summaries = done
    hum = {gate.name: gate for gate in summaries["quality"].gates}["mains_hum"]
    assert (hum.status, hum.text) == ("passed", "No recording holds sound.")
    quality = read_quality(folder)
    assert set(quality["modality"]) == {"current"}
    assert set(quality["sample_rate_hz"]) == {RATE}
    assert quality["rms_dbfs"].isna().all()
    measures = pd.read_parquet(folder.stage("quality") / "signals.parquet")
    assert len(measures) == 4 * len(quality)
    assert set(measures["role"]) == {"phase_a", "phase_b", "phase_c", "flux"}
    assert measures["mains_hz"].between(59, 61).all()
    assert set(measures["phase_order"]) == {"abc"}


def test_clips_are_four_rows_and_the_masked_one_is_hidden_from_engines_alone(done):
    folder, _ = done
    clips = read_clips(folder)
    assert len(clips) == 2 * 10
    assert clips["offset_s"].tolist()[:2] == [0.0, POINTS / 2 / RATE]
    first = np.load(folder.stage("clips") / clips["path"].iloc[0])
    assert (first.shape, first.dtype) == ((4, POINTS // 2), np.float32)
    assert first[3].std() > 0
    embedded = read_embeddings(folder, Feature("series", "frames"))
    np.testing.assert_array_equal(embedded.values[0, :3], first[:3])
    assert not embedded.values[:, 3].any()


def test_the_card_says_what_was_measured_at_which_rate_and_what_is_masked(done):
    folder, _ = done
    place = folder.stage("models") / "motor__m1"
    card = json.loads((place / "model.json").read_text())
    assert card["signal"] == {
        "modality": "current",
        "sample_rate_hz": RATE,
        "clip_points": POINTS // 2,
        "masked": ["flux"],
    }
    assert card["encoder"]["settings"]["masked"] == ["flux"]
    assert not (place / "sensitivity.json").exists()
    threshold = json.loads((place / "threshold.json").read_text())
    assert threshold["clips_per_day"] == pytest.approx(86_400 * RATE / (POINTS // 2))


def test_the_report_shows_channels_instead_of_sound(done):
    folder, _ = done
    page = (folder.stage("report") / "report.html").read_text()
    assert page.count('class="waveforms"') == FAST.report.top_clips
    assert "phase a" in page
    assert "a상" in page
    assert "<audio" not in page
    assert "Motor signal report" in page
    assert "S3" in page
    assert "Record the background alone" not in page


def test_running_again_gives_the_same_bytes(done):
    folder, _ = done
    before = tree(folder.path, without="report")
    run_through(folder, until="scores", params=PARAMS)
    after = tree(folder.path, without="report")
    assert after == before


def test_a_file_alone_is_refused_with_what_to_do(done, tmp_path):
    folder, _ = done
    (tmp_path / "a.npy").write_bytes(npy(currents(1)))
    with pytest.raises(AlpError, match="scored as packages"):
        score_file(folder.data_root, Section("acme", "motor", "m1"), tmp_path / "a.npy", PARAMS)


@pytest.mark.parametrize("engine", ["time_moe", "signal_pca", "signal_cnn"])
def test_every_engine_for_signals_goes_from_package_to_report(tmp_path, engine):
    quick = {
        "models.engine": engine,
        "models.time_moe.size": "tiny",
        "models.time_moe.window": 128,
        "models.time_moe.steps": 12,
        "models.time_moe.batch": 4,
        "models.time_moe.context": 16,
        "models.signal_pca.window": 32,
        "models.signal_cnn.steps": 30,
        "models.signal_cnn.window": 64,
    }
    folder = sent(tmp_path, *motor_files(train=4, normal=1, anomaly=1))
    summaries = run_through(folder, params=with_overrides(PARAMS, quick))
    assert list(summaries)[-1] == "report"
    (entry,) = read_metrics(folder)["sections"]
    assert (entry["state"], entry["engine"]) == ("scored", engine)
    gate = {gate.name: gate for gate in summaries["models"].gates}["experts_in_use"]
    assert gate.figures["trained"] == (engine == "time_moe")
    page = (folder.stage("report") / "report.html").read_text()
    assert ("How the forecaster was trained" in page) == (engine == "time_moe")
    assert np.isfinite(read_scores(folder)["score"]).all()


class TestBesideSound:
    """Machines with sound and machines with signals in one package."""

    @pytest.fixture(scope="class")
    def both(self, tmp_path_factory):
        place = tmp_path_factory.mktemp("both")
        sounds, sound_rows = machine_files(train=4, normal=1, anomaly=1)
        signals, signal_rows = motor_files(train=4, normal=1, anomaly=1)
        mixed = sent(place / "x", sounds | signals, [*sound_rows[:3], *signal_rows, *sound_rows[3:]])
        alone = sent(place / "y", sounds, sound_rows)
        run_through(mixed, params=PARAMS)
        run_through(alone, until="scores", params=PARAMS)
        return mixed, alone

    def test_each_is_worked_with_engines_of_its_kind(self, both):
        mixed, _ = both
        engines = {entry["machine_type"]: entry["engine"] for entry in read_metrics(mixed)["sections"]}
        assert engines == {"fan": "memory_bank", "motor": "signal_spectrum"}
        assert (mixed.stage("report") / "report.html").is_file()

    def test_sound_scores_as_if_there_were_no_signals(self, both):
        mixed, alone = both
        scores = read_scores(mixed).query("machine_type == 'fan'").reset_index(drop=True)
        pd.testing.assert_frame_equal(scores, read_scores(alone))

    def test_a_row_of_the_manifest_is_a_row_of_every_embedding(self, both):
        mixed, _ = both
        signals = (read_clips(mixed)["modality"] != "sound").to_numpy()
        series = read_embeddings(mixed, Feature("series", "frames")).values
        pooled = read_embeddings(mixed, Feature("alp_conv", "pooled")).values
        assert len(series) == len(pooled) == len(signals)
        np.testing.assert_array_equal(series.any(axis=(1, 2)), signals)
        np.testing.assert_array_equal(pooled.reshape(len(pooled), -1).any(axis=1), ~signals)

    def test_an_engine_of_the_other_kind_is_refused_in_words_and_the_rest_goes_on(self, both):
        mixed, _ = both
        params = with_overrides(PARAMS, {"models.engine": "memory_bank", "models.second_opinions": ["signal_pca"]})
        folder = PackageFolder(mixed.data_root, mixed.customer, mixed.package)
        for name, summary in run_through(folder, until="models", params=params).items():
            assert summary.passed, name
        motor, fan = (read_plan(folder.stage("models") / name) for name in ("motor__m1", "fan__1"))
        assert motor["engine"] == ""
        assert "memory_bank works on sound" in motor["reason"]
        assert "current" in motor["reason"]
        assert fan["engine"] == "memory_bank"
        assert "signal_pca works on signals" in fan["second_opinions"][0]["problem"]


def test_bad_input_is_set_aside_or_told_of_and_the_rest_goes_on(tmp_path):
    files, rows = motor_files(train=5, normal=1, anomaly=1)
    good = currents(50)
    spiked, zero = currents(51), np.zeros((4, POINTS), np.float32)
    spiked[1, 100] = 1e30
    text = csv(currents(52)).split(b"\n")
    text[300] = b"0.15,1,kaputt,2,3"
    back = np.arange(POINTS) / RATE
    back[600:] -= 0.2
    bad = {
        "short.npy": (npy(good[:, :100]), {}, "signal_too_short"),
        "faster.npy": (npy(currents(53, rate=4000)), {"sample_rate_hz": 4000}, "signal_rate_in_section"),
        "two.csv": (
            csv(currents(54)[:2], header="TIME,phase_a,phase_b"),
            {"channels": "phase_a,phase_b"},
            "signal_roles_in_section",
        ),
        "zero.npy": (npy(zero), {}, "signal_dead"),
        "text.csv": (b"\n".join(text), {}, "signal_text_in_numbers"),
        "back.csv": (csv(currents(55), time=back), {}, "signal_time_backwards"),
        "five.csv": (
            csv(np.vstack([currents(56), currents(57)[:1]]), header="")[0:],
            {"channels": ""},
            "signal_roles_unknown",
        ),
        "pickle.npy": (b"\x80\x04K\x01.", {}, "signal_is_pickle"),
        "unnamed.txt": (csv(currents(62)), {"modality": ""}, "signal_modality_missing"),
        "unnamed.npy": (npy(currents(58)), {"modality": ""}, "signal_modality_missing"),
        "shaking.npy": (
            npy(currents(59)[:3]),
            {"modality": "vibration", "channels": "x,y,z"},
            "signal_modality_in_section",
        ),
        "again.npy": (files["signals/train_normal_0_0.npy"], {}, "signal_same"),
    }
    told = {
        "spiked.npy": (npy(spiked), {}, "signal_spikes"),
        "headless.csv": (csv(currents(60), header=""), {"channels": ""}, "signal_roles_assumed"),
    }
    for name, (data, cells, _) in (bad | told).items():
        files[f"signals/{name}"] = data
        rows.append(signal_row(f"signals/{name}", **cells))
    files["signals/sick.npy"] = npy(currents(61, faulty=True))
    rows.append(signal_row("signals/sick.npy", split="train", label="anomaly"))
    folder = sent(tmp_path, files, rows)
    summaries = run_through(folder, until="scores", params=PARAMS)
    assert list(summaries)[-1] == "scores"
    assert {problem.code for problem in read_problems(folder) if problem.severity == "error"} == {
        "train_not_normal"
    }
    quality = read_quality(folder).set_index("recording")
    for name, (_, _, code) in bad.items():
        found = quality.loc[f"signals/{name}"]
        assert found["verdict"] == "set aside", name
        codes = [code for severity, code, _ in json.loads(found["problems"]) if severity == "error"]
        assert code in codes, (name, codes)
        assert "→" in found["reasons"]
    for name, (_, _, code) in told.items():
        found = quality.loc[f"signals/{name}"]
        assert (found["verdict"], code in found["problems"]) == ("ok", True), name
    kept = {f"signals/{name}" for name in told} | set(motor_files(train=5, normal=1, anomaly=1)[0])
    assert set(quality.index[quality["verdict"] == "ok"]) == kept
    (entry,) = read_metrics(folder)["sections"]
    assert entry["state"] == "scored"
    assert np.isfinite(read_scores(folder)["score"]).all()


def test_a_champion_of_another_rate_does_not_score_and_its_normals_are_left_out(tmp_path):
    run_through(sent(tmp_path, *motor_files()), until="scores", params=PARAMS)
    tests = sent(tmp_path, *motor_files(train=0, sample_rate_hz=4000, seed=1), package="second")
    run_through(tests, until="scores", params=PARAMS)
    (entry,) = read_metrics(tests)["sections"]
    assert entry["state"] == "cannot_score"
    assert "2000 Hz" in entry["reason"]
    assert "4000 Hz" in entry["reason"]
    normals = sent(tmp_path, *motor_files(sample_rate_hz=4000, seed=2), package="third")
    gate = run_through(normals, until="scores", params=PARAMS)["models"].gates[0]
    assert gate.status == "warned"
    assert "2000 Hz" in gate.text
    assert read_metrics(normals)["sections"][0]["state"] == "scored"


def test_a_check_beforehand_tells_what_a_motor_would_get(tmp_path):
    files, rows = motor_files()
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)})
    for engine, state in (("auto", "model"), ("memory_bank", "unsuited")):
        folder = PackageFolder(tmp_path / engine, "acme", "first")
        params = with_overrides(PARAMS, {"models.engine": engine})
        found = preflight(folder, archive, tmp_path, params, lambda stage: lambda done, total, what: None)
        (prospect,) = found.prospects
        assert (prospect.state, prospect.target_normals) == (state, 10)
        assert prospect.engine == ("signal_spectrum" if state == "model" else "")
