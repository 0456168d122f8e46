"""Models handed on as a folder, and taken over from one."""

import json
import math
import os
import shutil

import pytest

from alp_assets.errors import AlpError, ModelCorrupt
from alp_assets.params import PromotionParams
from alp_assets.registry.exchange import export_models, model_meta, registry_json
from alp_assets.registry.intake import import_models
from alp_assets.registry.records import State
from alp_assets.registry.registry import Registry, verify
from tests.registry.conftest import FAN, JANUARY


@pytest.fixture
def models(registry, fitted):
    first = registry.register(FAN, "january", JANUARY, fitted("one", section=str(FAN)), name="fan_v1")
    registry.judge(first.version, {"auc": 0.9}, PromotionParams())
    registry.describe(first.version, "말하자면", "jin")
    registry.save_threshold(first.version, 1.5, "quieter", "jin")
    registry.register(FAN, "january", JANUARY, fitted("two", section=str(FAN)), name="fan_v2")
    return registry.find()


@pytest.fixture
def exported(registry, models, tmp_path):
    export_models(registry, models, tmp_path / "out")
    return tmp_path / "out"


def taken(exported, tmp_path, check=lambda folder: None):
    root = tmp_path / "there"
    return Registry(root), import_models(Registry(root), exported, root, "lee", check)


def changed(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_list_names_files_and_the_default(models, exported):
    listed = json.loads((exported / "registry.json").read_text())
    assert listed == registry_json(models)
    first, second = listed["models"]
    assert (first["name"], first["type"], first["is_default"]) == ("fan_v1", "memory_bank", True)
    assert (second["is_default"], second["description"]) == (
        False,
        "memory_bank on alp_conv, fitted on 6 normal clips of fan/1호기",
    )
    for entry in listed["models"]:
        assert (exported / entry["file_name"]).is_file()
        meta = json.loads((exported / entry["meta_file"]).read_text())
        assert {"created_at", "dataset_path", "sample_count", "parameters", "metrics"} <= set(meta)


def test_the_meta_tells_what_the_model_learnt_from(models):
    meta = model_meta(models[0])
    assert (meta["dataset_path"], meta["sample_count"]) == ("packages/acme/january", 6)
    assert meta["metrics"] == {"auc": 0.9}


def test_what_was_exported_comes_back_as_it_was(models, exported, tmp_path):
    there, found = taken(exported, tmp_path)
    assert [item.problem for item in found] == ["", ""]
    back = there.get("fan_v1")
    assert (back.version, back.description, back.metrics) == (models[0].version, "말하자면", {"auc": 0.9})
    assert (back.state, there.get("fan_v2").state) == (State.CHAMPION, State.CANDIDATE)
    assert (back.created_at, back.package, back.received_at) == (models[0].created_at, "january", JANUARY)
    assert there.threshold(back.version) == 1.5
    verify(back)
    assert there.history(version=back.version)[-1].what == "imported"
    assert not list((tmp_path / "there").glob(".import-*"))


def test_importing_again_changes_nothing(exported, tmp_path):
    there, _ = taken(exported, tmp_path)
    before = there.history()
    _, found = taken(exported, tmp_path)
    assert there.history() == before
    assert found[0].note == "was here already as fan_v1"


def test_a_name_that_is_taken_is_not_taken_from_its_owner(exported, tmp_path, fitted):
    there = Registry(tmp_path / "there")
    own = there.register(FAN, "january", JANUARY, fitted("own"), name="fan_v1")
    _, found = taken(exported, tmp_path)
    assert there.get("fan_v1").version == own.version
    assert found[0].version.name == "fan-1호기-memory_bank-1"
    assert "got one of its own" in found[0].note


def _weights(exported):
    (exported / "fan_v1.safetensors").write_bytes(b"something else")


def _card(exported):
    (exported / "fan_v1" / "model.json").unlink()


def _entry(**values):
    return lambda exported: changed(
        exported / "registry.json",
        lambda listed: next(item for item in listed["models"] if item["name"] == "fan_v1").update(values),
    )


def _own(**values):
    return lambda exported: changed(exported / "fan_v1_meta.json", lambda meta: meta["alp"].update(values))


def _file(name, **values):
    return lambda exported: changed(
        exported / "fan_v1_meta.json", lambda meta: meta["alp"]["files"].setdefault(name, {}).update(values)
    )


def _meta(**values):
    return lambda exported: changed(exported / "fan_v1_meta.json", lambda meta: meta.update(values))


def _deep(name):
    return lambda exported: (exported / name).write_text("[" * 100_000 + "]" * 100_000)


def _pipe(exported):
    path = exported / "fan_v1" / "plan.json"
    path.unlink()
    os.mkfifo(path)


def _set(**values):
    return _own(thresholds=[{"value": 1.0, "note": "quieter", "who": "jin"} | values])


def _link(exported):
    path = exported / "fan_v1" / "model.json"
    secret = exported.parent / "secret.json"
    shutil.move(path, secret)
    path.symlink_to(secret)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(_weights, "do not match the checksum", id="changed weights"),
        pytest.param(_card, "fan_v1/model.json: no such file", id="no card"),
        pytest.param(_entry(file_name="fan.pkl"), "can run code", id="pickle"),
        pytest.param(_entry(file_name="fan.joblib"), "can run code", id="joblib"),
        pytest.param(_entry(file_name="fan.PT"), "can run code", id="torch"),
        pytest.param(_entry(file_name="fan.txt"), "is no ALP model", id="text"),
        pytest.param(_entry(meta_file=""), "names no meta_file", id="no meta"),
        pytest.param(_entry(meta_file="gone.json"), "gone.json: no such file", id="meta gone"),
        pytest.param(_entry(meta_file="../secret.json"), "leads out of the folder", id="meta outside"),
        pytest.param(_entry(meta_file="/etc/passwd"), "leads out of the folder", id="meta absolute"),
        pytest.param(_own(version="0" * 16), "not those of the version", id="another version"),
        pytest.param(_own(machine_type="spaceship"), "no machine type", id="unknown machine"),
        pytest.param(_own(customer="../acme"), "cannot be the name of a customer", id="bad customer"),
        pytest.param(_own(customer="other"), "its card is of another section", id="another's model"),
        pytest.param(_own(format=9), "is of format 9", id="another format"),
        pytest.param(_own(files=7), "not as ALP writes it", id="files no table"),
        pytest.param(_own(thresholds=None), "not as ALP writes it", id="no thresholds"),
        pytest.param(_file("x.pkl", path="x.pkl", sha256=""), "can run code", id="pickle beside"),
        pytest.param(_file("../../x.json", path="fan_v1/plan.json", sha256=""), "leads out", id="target outside"),
        pytest.param(_file("plan.json", path="../secret.json"), "leads out", id="source outside"),
        pytest.param(_link, "leads out of the folder", id="link outside"),
        pytest.param(_pipe, "is no plain file", id="pipe"),
        pytest.param(_deep("fan_v1_meta.json"), "not as ALP writes it", id="nested without end"),
        pytest.param(_set(value=math.nan), "is no figure", id="threshold no number"),
        pytest.param(_set(note="\x1b]0;hello\x07"), "control characters", id="note for the terminal"),
        pytest.param(_own(description="d" * 100_000), "longer than", id="endless description"),
        pytest.param(_own(package="../../x"), "cannot be the name of a package", id="bad package"),
        pytest.param(_meta(created_at="yesterday"), "not as ALP writes it", id="made some day"),
        pytest.param(_meta(metrics={"auc": math.inf}), "is no figure", id="metric without end"),
    ],
)
def test_a_model_that_is_not_whole_is_refused_by_name_while_the_others_go_on(exported, tmp_path, damage, words):
    damage(exported)
    there, found = taken(exported, tmp_path)
    problems = {item.name: item.problem for item in found}
    assert words in problems["fan_v1"]
    assert problems["fan_v2"] == ""
    assert [item.name for item in there.find()] == ["fan_v2"]
    assert there.get("fan_v2").state is State.CHAMPION


def test_entries_of_others_are_refused_with_what_to_do(exported, tmp_path):
    (exported / "theirs_meta.json").write_text('{"created_at": "2026-01-01", "metrics": {}}')
    theirs = {"id": "1", "name": "theirs", "file_name": "theirs.safetensors", "meta_file": "theirs_meta.json"}
    changed(exported / "registry.json", lambda listed: listed["models"].extend([theirs, "nonsense", None]))
    _, found = taken(exported, tmp_path)
    problems = {item.name: item.problem for item in found}
    assert "alp train" in problems["theirs"]
    assert "no object" in problems["nonsense"]
    assert sum(not problem for problem in problems.values()) == 2


def test_a_model_that_cannot_be_loaded_is_refused(exported, tmp_path):
    def check(folder):
        raise ModelCorrupt("its weights are of another engine")

    there, found = taken(exported, tmp_path, check)
    assert {item.problem for item in found} == {"its weights are of another engine"}
    assert there.find() == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"models": 3}', '{"others": []}', pytest.param("[" * 100_000, id="nested without end")],
)
def test_a_list_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(AlpError, match=r"registry\.json"):
        taken(tmp_path, tmp_path)


def test_a_folder_without_a_list_is_refused(tmp_path):
    with pytest.raises(AlpError, match="no such file"):
        taken(tmp_path, tmp_path)


def test_nothing_is_written_over_and_damaged_models_are_not_handed_on(registry, models, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(AlpError, match="something already"):
        export_models(registry, models, tmp_path / "full")
    (models[0].folder / "plan.json").unlink()
    with pytest.raises(ModelCorrupt):
        export_models(registry, models, tmp_path / "out")
    assert not (tmp_path / "out").exists()
