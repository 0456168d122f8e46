"""Models, thresholds and feedback over HTTP."""

from __future__ import annotations

import pytest

from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.scores import read_scores
from alp_assets.web.views.models import compared
from tests.packages import machine_package, receive
from tests.web.conftest import QUICK


@pytest.fixture
def second(data_root, tmp_path) -> str:
    """Another model of acme's fan."""
    archive = machine_package(tmp_path / "second.zip", seed=7, normal=1, anomaly=1)
    folder = receive(data_root, archive, package="second")
    for name in ("metadata", "quality", "clips", "embeddings", "models"):
        run_stage(name, folder, QUICK)
    return next(item.version for item in Registry(data_root).find(customer="acme") if item.package == "second")


def test_models_are_listed_as_the_registry_has_them(client, model_id):
    (found,) = client("viewer").get("/models").json()["models"]
    assert found["id"] == model_id
    assert found["is_default"]
    assert found["type"] == found["engine"] == "memory_bank"
    assert found["section"] == "acme/fan/1"
    assert found["second_opinions"] == ["isolation_forest"]
    assert found["threshold"] == found["fitted_threshold"]
    for query, count in (
        ("machine_type=fan", 1),
        ("machine_type=pump", 0),
        ("section=acme/fan/1", 1),
        ("section=acme/fan/2", 0),
        ("engine=autoencoder", 0),
        ("state=champion", 1),
        ("state=archived", 0),
    ):
        assert len(client("viewer").get(f"/models?{query}").json()["models"]) == count, query


def test_a_model_tells_all_and_whether_it_is_whole(client, model_id, data_root):
    told = client("viewer").get(f"/models/{model_id}").json()
    assert told["healthy"]
    assert told["history"][0]["what"] in ("promoted", "metrics")
    assert told["files"]
    weights = Registry(data_root).get(model_id).folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    told = client("viewer").get(f"/models/{model_id}").json()
    assert not told["healthy"]
    assert "changed" in told["problem"]
    refused = client("admin").post(f"/models/{model_id}/pin", json={})
    assert refused.status_code == 503
    assert str(data_root) not in told["problem"] + refused.text
    assert client("viewer").get("/models/nothing").status_code == 404


def test_promoting_and_going_back(client, model_id, second):
    admin = client("admin")
    assert admin.post(f"/models/{second}/promote", json={"why": "try it"}).json()["state"] == "champion"
    assert admin.get("/sections").json()["sections"][0]["champion"]["id"] == second
    event = admin.get(f"/history?model_id={second}").json()["events"][0]
    assert (event["what"], event["why"]) == ("promoted", "try it")
    assert event["who"].startswith("admin (")
    back = admin.post("/sections/rollback", json={"section": "acme/fan/1", "why": "worse"})
    assert back.json()["id"] == model_id
    admin.post(f"/models/{model_id}/pin", json={})
    assert admin.post(f"/models/{second}/promote", json={}).status_code == 409
    assert admin.post("/sections/unpin", json={"section": "acme/fan/1"}).json()["pinned"] is False
    assert admin.patch(f"/models/{second}", json={"description": "spare"}).json()["description"] == "spare"
    assert admin.post(f"/models/{model_id}/archive", json={}).status_code == 409


def test_models_are_compared_side_by_side(client, model_id, second):
    told = client("viewer").get("/models/compare", params={"model_id": [model_id, second]}).json()
    assert [item["id"] for item in told["models"]] == [model_id, second]
    assert {"count", "promised"} <= {row["name"] for row in told["rows"]}
    assert all(len(row["values"]) == 2 for row in told["rows"])
    assert sum(told["distributions"][0]["histogram"]["counts"]) == told["distributions"][0]["count"]
    assert client("viewer").get("/models/compare", params={"model_id": [model_id]}).status_code == 422


def test_the_better_figure_is_marked():
    models = [
        {"metrics": {"auc_target": 0.9, "observed_false_alarms": 0.1}, "calibration": {"q50": 1.0}},
        {"metrics": {"auc_target": 0.95, "observed_false_alarms": 0.2}, "calibration": {"q50": 2.0}},
    ]
    rows = {row["name"]: row["best"] for row in compared(models)}
    assert rows == {"auc_target": 1, "observed_false_alarms": 0, "q50": None}


def test_a_threshold_promises_when_set_what_it_did_before(client, model_id):
    admin = client("admin")
    told = admin.get(f"/models/{model_id}/calibration?bins=10").json()
    low, high = told["range"]
    assert low < told["scores"][0] <= told["scores"][-1] < high
    assert len(told["labelled"]["normal"]) == len(told["labelled"]["anomaly"]) == 3
    value = told["threshold"] + 0.5 * (high - told["threshold"])
    shown = admin.get(f"/models/{model_id}/threshold-preview?value={value}").json()
    assert shown["rate"] >= shown["rate_least"] > 0
    assert shown["caught"]["anomalies"] == 3
    assert shown["observed"]["low"] <= shown["observed"]["rate"] <= shown["observed"]["high"]
    rates = [
        admin.get(f"/models/{model_id}/threshold-preview?value={at}").json()["rate"]
        for at in (low, told["median"], high)
    ]
    assert rates == sorted(rates, reverse=True)
    saved = admin.post(f"/models/{model_id}/thresholds", json={"value": value, "note": "quieter"})
    assert saved.status_code == 201
    assert saved.json()["number"] == 1
    (newest, fitted) = admin.get(f"/models/{model_id}/thresholds").json()["thresholds"]
    assert (newest["in_force"], fitted["in_force"], newest["note"]) == (True, False, "quieter")
    assert admin.get(f"/models/{model_id}").json()["threshold"] == value
    for bad in ({"value": value}, {"value": "x", "note": "y"}, {"value": 1, "note": ""}):
        assert admin.post(f"/models/{model_id}/thresholds", json=bad).status_code == 422
    assert admin.get(f"/models/{model_id}/threshold-preview?value=nan").status_code == 422


@pytest.mark.parametrize(
    "form",
    [
        {"value": 1.0, "note": "   "},
        {"value": 1.0, "note": "a\0b"},
        {"value": 1.0, "note": "\x1b[2Jgone"},
        {"value": "1", "note": "a text"},
        {"value": True, "note": "a yes"},
        {"value": 1.7e308, "note": "beyond all scores"},
    ],
)
def test_what_is_no_threshold_with_a_reason_is_refused(client, model_id, form):
    admin = client("admin")
    assert admin.post(f"/models/{model_id}/thresholds", json=form).status_code == 422
    assert len(admin.get(f"/models/{model_id}/thresholds").json()["thresholds"]) == 1


def test_feedback_moves_a_clip_to_the_other_side(client, model_id, data_root):
    from alp_assets.stages.package import PackageFolder

    scores = read_scores(PackageFolder(data_root, "acme", "first"))
    chosen = scores[(scores["split"] == "test") & (scores["label"] == "anomaly")].iloc[0]
    form = {
        "customer": "acme",
        "package": "first",
        "clip_id": chosen["clip_id"],
        "label": "normal",
        "note": "door",
    }
    made = client("operator").post("/feedback", json=form)
    assert made.status_code == 201
    (label,) = client("viewer").get("/feedback?package=first").json()["labels"]
    assert (label["label"], label["note"]) == ("normal", "door")
    labelled = client("viewer").get(f"/models/{model_id}/calibration").json()["labelled"]
    assert (len(labelled["normal"]), len(labelled["anomaly"])) == (4, 2)
    assert client("operator").post("/feedback", json={**form, "clip_id": "nothing"}).status_code == 404
    assert client("operator").post("/feedback", json={**form, "label": "maybe"}).status_code == 422


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000])
def test_a_model_without_its_threshold_is_told_to_be_damaged(client, model_id, data_root, text):
    (Registry(data_root).get(model_id).folder / "threshold.json").write_text(text)
    answer = client("viewer").get(f"/models/{model_id}/calibration")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("model-corrupt")
