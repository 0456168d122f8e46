"""What a customer's packages mean for each other."""

import json

import pandas as pd
import pytest

from alp_assets.params import with_overrides
from alp_assets.registry.registry import Registry
from alp_assets.stages.models import read_plan, read_threshold
from alp_assets.stages.scores import read_metrics, read_scores
from schemas.sections import Section
from tests.packages import FAST, machine_files, machine_package, receive, run_through, table, zipped

SECTION = Section("acme", "fan", "1")


def entry(folder):
    return read_metrics(folder)["sections"][0]


def test_earlier_normals_become_the_source_bank(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip", train=5), package="first")
    run_through(first)
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", train=3, seed=1), package="second")
    run_through(second)
    plan = read_plan(second.stage("models") / SECTION.folder)
    assert (plan["source_normals"], plan["target_normals"]) == (5, 3)
    assert plan["packages"] == ["second", "first"]
    assert entry(second)["state"] == "scored"


def test_a_package_never_learns_from_a_later_one(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first")
    run_through(first)
    before = (first.stage("scores") / "scores.csv").read_bytes()
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", seed=1), package="second")
    run_through(second)
    run_through(first)
    assert (first.stage("scores") / "scores.csv").read_bytes() == before


def test_other_customers_contribute_nothing(tmp_path):
    run_through(receive(tmp_path, machine_package(tmp_path / "a.zip"), customer="other"))
    mine = receive(tmp_path, machine_package(tmp_path / "b.zip", train=3, seed=1))
    run_through(mine)
    assert read_plan(mine.stage("models") / SECTION.folder)["source_normals"] == 0


def test_the_same_audio_sent_again_counts_once(tmp_path):
    files, rows = machine_files(train=5)
    run_through(
        receive(tmp_path, zipped(tmp_path / "a.zip", {**files, "metadata.csv": table(rows)}), package="first")
    )
    more, more_rows = machine_files(train=3, seed=7)
    again = {f"audio/again/{number}.wav": files[rows[number]["relative_path"]] for number in range(2)}
    again_rows = [{**rows[0], "relative_path": path} for path in again]
    archive = zipped(tmp_path / "b.zip", {**more, **again, "metadata.csv": table(more_rows + again_rows)})
    second = receive(tmp_path, archive, package="second")
    run_through(second)
    plan = read_plan(second.stage("models") / SECTION.folder)
    assert (plan["source_normals"], plan["target_normals"]) == (3, 5)


def test_test_clips_alone_are_scored_with_the_champion(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first")
    run_through(first)
    later = receive(tmp_path, machine_package(tmp_path / "b.zip", train=0, seed=1), package="later")
    run_through(later)
    found = entry(later)
    assert (found["state"], found["model_package"]) == ("scored", "first")
    assert found["threshold"] == read_threshold(first.stage("models") / SECTION.folder)["value"]
    assert read_scores(later)["score"].notna().all()
    assert found["auc"] == 1.0


def test_with_no_model_yet_the_section_is_reported_and_nothing_crashes(tmp_path):
    folder = receive(tmp_path, machine_package(tmp_path / "a.zip", train=0))
    summaries = run_through(folder)
    found = entry(folder)
    assert found["state"] == "cannot_score"
    assert "no normals yet" in found["reason"]
    assert len(read_scores(folder)) == 0
    assert "no normals yet" in (folder.stage("report") / "report.html").read_text()
    gate = next(gate for gate in summaries["scores"].gates if gate.name == "scores_complete")
    assert gate.status == "warned"


def test_the_champion_is_of_the_package_received_last(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first")
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", seed=1), package="second")
    run_through(second)
    run_through(first)
    champion = Registry(tmp_path).champion(SECTION)
    assert champion is not None
    assert champion.package == "second"


def test_a_registered_version_outlives_the_folder_it_came_from(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first")
    run_through(first)
    version = Registry(tmp_path).champion(SECTION)
    run_through(first, until="models", params=with_overrides(FAST, {"decision.alarms_per_day": 2.0}))
    versions = Registry(tmp_path).versions(SECTION)
    assert len(versions) == 2
    assert versions[0] == version
    assert json.loads((version.folder / "threshold.json").read_text())["alarms_per_day"] <= 1


def test_embeddings_made_with_other_settings_are_left_out_and_said(tmp_path):
    first = receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first")
    params = with_overrides(FAST, {"embeddings.encoder": "logmel"})
    run_through(first, params=params)
    second = receive(tmp_path, machine_package(tmp_path / "b.zip", train=3, seed=1), package="second")
    run_through(second, params=with_overrides(params, {"embeddings.logmel.n_mels": 64}))
    plan = read_plan(second.stage("models") / SECTION.folder)
    assert plan["source_normals"] == 0
    assert "other settings" in plan["left_out"][0]


def test_a_changed_champion_is_not_used(tmp_path):
    run_through(receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first"))
    champion = Registry(tmp_path).champion(SECTION)
    weights = champion.folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    later = receive(tmp_path, machine_package(tmp_path / "b.zip", train=0, seed=1), package="later")
    run_through(later)
    found = entry(later)
    assert found["state"] == "cannot_score"
    assert "changed after it was registered" in found["reason"]


@pytest.mark.parametrize("normals", [1, 2, 3])
def test_few_normals(tmp_path, normals):
    folder = receive(tmp_path, machine_package(tmp_path / "a.zip", train=normals))
    run_through(folder)
    found = entry(folder)
    if normals == 1:
        assert found["state"] == "cannot_score"
        assert "only 1 normal clip" in found["reason"]
    else:
        assert found["state"] == "scored"
        assert pd.Series(read_scores(folder)["score"]).between(-1e6, 1e6).all()
        assert not found["promise_supported"]
        assert f"{normals} target normals support" in found["promise_note"]
        assert found["extrapolated"] == ("beyond every" in found["promise_note"])
        assert found["alarms_per_day"] >= 1 - 1e-9


def test_a_champion_of_other_clip_settings_does_not_score(tmp_path):
    run_through(receive(tmp_path, machine_package(tmp_path / "a.zip"), package="first"))
    later = receive(tmp_path, machine_package(tmp_path / "b.zip", train=0, seed=1), package="later")
    run_through(later, params=with_overrides(FAST, {"clips.channel": "average"}))
    assert "clips or embeddings of other settings" in entry(later)["reason"]


def test_a_section_without_one_usable_recording_is_reported_too(tmp_path):
    files, rows = machine_files(section="good", train=3, normal=1, anomaly=0)
    rows.append({**rows[0], "relative_path": "audio/dead.wav", "section_id": "dead", "split": "train"})
    files["audio/dead.wav"] = b"no audio"
    folder = receive(tmp_path, zipped(tmp_path / "a.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder)
    states = {item["section_id"]: item["state"] for item in read_metrics(folder)["sections"]}
    assert states == {"good": "scored", "dead": "cannot_score"}
