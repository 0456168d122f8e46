"""Recordings judged over HTTP, by real worker processes."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from alp_assets.registry.registry import Registry
from alp_assets.stages.single import score_file
from schemas.sections import Section
from tests.packages import audio, hum
from tests.web.conftest import QUICK, caller, champion_of, make_keys, server

WORSE = audio(hum(77, faulty=True))
LONG = audio(np.concatenate([hum(5, seconds=20.0), hum(6, seconds=4.0, faulty=True)]))


@pytest.fixture(scope="module")
def root(fitted, tmp_path_factory):
    return shutil.copytree(fitted, tmp_path_factory.mktemp("diagnoses") / "data")


@pytest.fixture(scope="module")
def app(root):
    made = server(root, QUICK)
    with TestClient(made):  # starts the workers, and ends them
        yield made


@pytest.fixture(scope="module")
def keys(root):
    return make_keys(root)


@pytest.fixture
def diagnose(app, keys):
    def sent(sound=WORSE, name="a.wav", who="operator", **fields):
        chosen = fields or {"section": "acme/fan/1"}
        return caller(app, keys)(who).post("/diagnoses", files={"file": (name, sound)}, data=chosen)

    return sent


def kind(answer):
    return answer.json()["type"].rpartition("/")[2]


def test_a_recording_gets_the_score_that_the_command_gives_it(diagnose, root, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(LONG)
    expected = score_file(root, Section("acme", "fan", "1"), path, QUICK)
    (found,) = diagnose(LONG).json()["results"]
    assert [clip["score"] for clip in found["clips"]] == [item.score for item in expected]
    assert [clip["state"] for clip in found["clips"]] == [item.state for item in expected]
    worst = max(expected, key=lambda item: item.score)
    assert (found["score"], found["severity"], found["state"]) == (worst.score, worst.severity, worst.state)
    assert found["model"]["id"] == expected[0].model
    assert found["threshold"]["value"] == expected[0].threshold
    assert [clip["seconds"] for clip in found["clips"]] == [10.0, 10.0, 4.0]


def test_evidence_and_what_there_is_to_see(diagnose):
    told = diagnose(LONG, section="acme/fan/1", include="all").json()
    assert told["recording"]["seconds"] == 24.0
    assert 100 < len(told["waveform"]["peaks"]) <= 800
    assert told["spectrogram"]["png"].startswith("data:image/png;base64,")
    (found,) = told["results"]
    assert len(found["map"]["values"]) == found["map"]["bands"] <= 24
    assert 0 <= min(map(min, found["map"]["values"])) <= max(map(max, found["map"]["values"])) == 1
    assert found["map_png"].startswith("data:image/png")
    causes = {item["cause"] for item in found["findings"]}
    assert causes
    assert all(item["texts"]["ko"]["action"] and item["texts"]["en"]["cause"] for item in found["findings"])
    bare = diagnose(WORSE, section="acme/fan/1", include="clips").json()
    assert "map" not in bare["results"][0]
    assert "waveform" not in bare


def test_an_engine_that_knows_no_time_still_tells_when(diagnose):
    struck = hum(5, seconds=10.0)
    struck[48_000:52_000] += np.random.default_rng(0).normal(0, 0.3, 4_000).astype(np.float32)
    (found,) = diagnose(audio(struck)).json()["results"]
    assert found["model"]["engine"] == "memory_bank"
    assert found["clips"][0]["above"]
    assert found["map"]["knows_time"]
    assert [(item["start_s"], item["end_s"]) for item in found["regions"]] == [(3.0, 4.0)]
    (steady,) = diagnose(audio(hum(77, seconds=10.0, faulty=True))).json()["results"]
    assert sum(item["end_s"] - item["start_s"] for item in steady["regions"]) > 5
    (usual,) = diagnose(audio(hum(5, seconds=10.0))).json()["results"]
    assert usual["regions"] == []


def test_several_models_give_several_opinions(diagnose, root):
    told = diagnose(section="acme/fan/1", model_preference=["champion", "level1"]).json()["results"]
    assert [item["model"]["engine"] for item in told] == ["memory_bank", "isolation_forest"]
    assert [item["model"]["second_opinion"] for item in told] == [False, True]
    assert told[1]["model"]["letter"] == "L1"
    by_id = diagnose(model_id=champion_of(root)).json()["results"]
    assert by_id[0]["score"] == told[0]["score"]
    none = diagnose(section="acme/fan/1", model_preference="level2")
    assert (none.status_code, kind(none)) == (404, "model-missing")


@pytest.mark.parametrize(
    ("sound", "name", "words"),
    [
        (b"", "a.wav", "empty"),
        (b"ID3" + b"\0" * 500, "a.mp3", "audio"),
        (WORSE[:40], "a.wav", "."),
        (audio(hum(1, seconds=0.2)), "a.wav", "0.20 s"),
        (audio(np.zeros(32_000, np.float32)), "a.wav", "silen"),
        (b"PK\3\4" + b"\0" * 200, "a.wav", "zip"),
    ],
)
def test_what_cannot_be_heard_gets_no_result_but_reason_and_remedy(diagnose, sound, name, words):
    answer = diagnose(sound, name)
    assert (answer.status_code, kind(answer)) == (422, "audio-unusable"), answer.text
    assert words in answer.json()["detail"].lower()
    assert answer.json()["remedy"]
    assert answer.json()["problems"][0]["ko"]["problem"]


def test_requests_that_name_nothing_or_nonsense(diagnose, app, keys):
    assert diagnose(include="all").status_code == 422
    assert diagnose(section="acme/fan/1", include="everything").status_code == 422
    assert diagnose(section="acme/fan/1", nonsense="x").status_code == 422
    assert diagnose(section="acme/fan/1", model_preference="level9").status_code == 422
    assert diagnose(section="acme/fan/9").status_code == 404
    assert diagnose(model_preference="champion").status_code == 422
    assert diagnose(who="viewer").status_code == 403
    call = caller(app, keys)("operator")
    assert call.post("/diagnoses", data={"section": "acme/fan/1"}).status_code == 415
    assert call.post("/diagnoses", content=WORSE, headers={"Content-Type": "audio/wav"}).status_code == 415


def test_a_new_threshold_holds_at_once(diagnose, root):
    model = champion_of(root)
    before = diagnose().json()["results"][0]
    Registry(root).save_threshold(model, before["score"] + 1, "test", "me")
    after = diagnose().json()["results"][0]
    assert after["state"] == "NORMAL"
    assert after["threshold"]["number"] == 1
    Registry(root).save_threshold(model, before["threshold"]["value"], "back", "me")


def test_a_broken_or_missing_model_is_an_error_and_no_result(diagnose, root, app, keys):
    version = Registry(root).get(champion_of(root))
    theirs = Registry(root).find(customer="rival")[0]
    weights = theirs.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    broken = diagnose(who="rival", section="rival/fan/1")
    assert (broken.status_code, kind(broken)) == (503, "model-corrupt")
    aside = version.folder.rename(version.folder.with_name("aside"))
    try:
        gone = diagnose()
        assert (gone.status_code, kind(gone)) == (503, "model-corrupt")
    finally:
        aside.rename(version.folder)
    assert diagnose().status_code == 200


def test_a_worker_that_dies_costs_one_request(app, diagnose, monkeypatch):
    pool = app.state.services.desk.quick
    (worker,) = pool._workers
    diagnose()
    worker._process.kill()
    worker._process.wait()
    monkeypatch.setattr(type(worker), "start", lambda self: self._line)
    lost = diagnose()
    assert (lost.status_code, kind(lost)) == (503, "worker-lost")
    monkeypatch.undo()
    assert diagnose().status_code == 200


def test_nothing_is_left_behind(app, diagnose):
    diagnose()
    diagnose(b"nothing")
    time.sleep(0.05)
    assert list(app.state.services.scratch.iterdir()) == []


def test_recordings_that_are_too_large_or_too_long_are_refused(root, keys):
    from alp_assets.params import with_overrides

    tight = with_overrides(QUICK, {"web.recording_bytes": 1_000, "web.recording_seconds": 5.0})
    call = caller(server(root, tight), keys)("operator")
    big = audio(hum(1, seconds=60.0))
    assert call.post("/diagnoses", files={"file": ("a.wav", big)}, data={"section": "x"}).status_code == 413
