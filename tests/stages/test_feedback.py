"""What people say of clips and thresholds, and what becomes of it."""

import pytest

from alp_assets.registry.records import State, ThresholdVersion
from alp_assets.registry.registry import Registry
from alp_assets.stages.corpus import Shelf
from alp_assets.stages.in_force import set_to, threshold_in_force
from alp_assets.stages.models import read_threshold
from alp_assets.stages.scores import read_metrics, read_scores
from schemas.sections import Section
from tests.packages import FAST, machine_package, receive, run_through

SECTION = Section("acme", "fan", "1")


@pytest.fixture
def first(tmp_path):
    folder = receive(tmp_path, machine_package(tmp_path / "a.zip", train=5), package="first")
    run_through(folder, until="scores")
    return folder


def clips_of(folder, split):
    table = read_scores(folder)
    return table[table["split"] == split]["clip_id"].tolist()


def scored(folder):
    from alp_assets.stages.catalog import run_stage

    run_stage("scores", folder, FAST)
    return read_metrics(folder)["sections"][0]


def test_a_false_alarm_of_an_earlier_package_joins_the_normals_of_later_fits(tmp_path, first):
    registry = Registry(tmp_path)
    alarm, real = clips_of(first, "test")[:2]
    registry.label("acme", "first", alarm, "normal", "a cart", "jin")
    registry.label("acme", "first", real, "anomaly", "", "jin")
    registry.label("acme", "first", clips_of(first, "train")[0], "anomaly", "it rattled", "jin")
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", train=3, seed=1), package="second")
    run_through(second, until="clips")
    own = Shelf(second).clips
    test_clip = own[own["split"] == "test"]["clip_id"].iloc[0]
    train_clips = own[own["split"] == "train"]["clip_id"].tolist()
    registry.label("acme", "second", test_clip, "normal", "", "jin")
    registry.label("acme", "second", train_clips[0], "anomaly", "", "jin")
    table = Shelf(second).census(SECTION).table
    assert set(table[~table["own"]]["clip_id"]) == {alarm, *clips_of(first, "train")[1:]}
    assert set(table[table["own"]]["clip_id"]) == set(train_clips[1:])


def test_labels_stand_before_the_tables_and_figures_follow(tmp_path, first):
    before = read_metrics(first)["sections"][0]
    table = read_scores(first)
    flagged = table[(table["split"] == "test") & (table["decision"] == "anomaly")]["clip_id"].iloc[0]
    Registry(tmp_path).label("acme", "first", flagged, "normal", "a cart", "jin")
    after = scored(first)
    assert after["observed"]["false_alarms"] == before["observed"]["false_alarms"] + 1
    assert after["auc"] < before["auc"]
    assert read_scores(first).set_index("clip_id")["label"][flagged] == "normal"
    champion = Registry(tmp_path).champion(SECTION)
    assert champion.metrics["observed_false_alarms"] == pytest.approx(after["observed"]["rate"])
    assert champion.metrics["auc"] == pytest.approx(after["auc"])


def test_a_threshold_that_somebody_set_decides(tmp_path, first):
    registry = Registry(tmp_path)
    version = registry.champion(SECTION).version
    highest = float(read_scores(first)["score"].max())
    registry.save_threshold(version, highest + 1, "too many alarms", "jin")
    entry = scored(first)
    table = read_scores(first)
    assert (entry["flagged"], entry["threshold"]) == (0, highest + 1)
    assert set(table["decision"]) == {"normal"}
    assert table["severity"].max() < 50
    assert "Set by jin" in entry["promise_note"]
    assert "too many alarms" in entry["promise_note"]
    registry.save_threshold(version, read_threshold(first.stage("models") / SECTION.folder)["value"], "", "jin")
    assert scored(first)["flagged"] > 0


def test_what_a_moved_threshold_promises_is_what_the_calibration_bears(tmp_path):
    calibration = [{"domain": "target", "score": float(score)} for score in range(9)]
    fitted = {
        "value": 8.0,
        "asked": 1 / 8640,
        "promised": 0.1,
        "supported": False,
        "extrapolated": True,
        "policy": "alarms_per_day",
        "persistence": None,
        "alarms_per_day": 864.0,
        "clips_per_day": 8640.0,
        "note": "",
        "normals": {"target": 9},
        "by_domain": {"target": 8.0},
        "calibration": calibration,
    }
    lower = set_to(fitted, ThresholdVersion("v", 1, 3.5, "", "jin", ""))
    assert lower["promised"] == pytest.approx((5 + 1) / (9 + 1))
    assert lower["alarms_per_day"] == pytest.approx(8640 * 0.6)
    assert not lower["supported"]
    beyond = set_to(fitted, ThresholdVersion("v", 1, 100.0, "", "jin", ""))
    assert beyond["promised"] == pytest.approx(1 / 10)
    assert threshold_in_force(Registry(tmp_path), "unknown", fitted) == fitted


def test_a_later_package_takes_over_when_it_is_scored_and_no_worse(tmp_path, first):
    registry = Registry(tmp_path)
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", train=5, seed=1), package="second")
    run_through(second, until="models")
    assert registry.champion(SECTION).package == "first"
    run_through(second, until="scores")
    champion = registry.champion(SECTION)
    assert (champion.package, champion.clips) == ("second", 10)
    assert champion.packages == ("second", "first")
    assert len(champion.data_hash) == 64
    assert champion.metrics["auc"] == pytest.approx(read_metrics(second)["sections"][0]["auc"])
    assert [item.state for item in registry.versions(SECTION)] == [State.CHAMPION, State.ARCHIVED]
    scored(first)
    assert registry.champion(SECTION) == champion
