"""Parameters: where they come from, and what is refused."""

from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from alp_assets.errors import ParameterError
from alp_assets.params import PROJECT, Params, load_params, read_params, with_overrides


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch):
    monkeypatch.delenv("ALP_PARAMS", raising=False)


@pytest.fixture
def written(tmp_path):
    def write(text, name="params.yaml", encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_the_committed_parameters_are_the_defaults():
    own = {"packages", "synth"}
    assert read_params(PROJECT / "params.yaml").model_dump(exclude=own) == Params().model_dump(exclude=own)


def _leaves(tree, path=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield ".".join((*path, name))


def test_the_committed_file_shows_every_parameter():
    tree = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    shown, there = (
        set(_leaves({name: group for name, group in groups.items() if name not in ("packages", "synth")}))
        for groups in (tree, Params().model_dump())
    )
    assert shown == there


def test_what_a_file_leaves_out_keeps_its_default(written):
    params = read_params(written("models:\n  memory_bank:\n    k: 3\n"))
    assert params.models.memory_bank.k == 3
    assert params == with_overrides(Params(), {"models.memory_bank.k": 3})


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_an_empty_file_means_the_defaults(written, text):
    assert read_params(written(text)) == Params()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("decision:\n  flase_alarm_rate: 0.1\n", "decision.flase_alarm_rate"),
        ("models:\n  memory_bank:\n    kk: 1\n", "models.memory_bank.kk"),
        ("desicion:\n  false_alarm_rate: 0.1\n", "desicion"),
        ("decision:\n  false_alarm_rate: 1.0\n", "decision.false_alarm_rate"),
        ("decision:\n  false_alarm_rate: ten percent\n", "decision.false_alarm_rate"),
        ("quality:\n  silence_dbfs: 3\n", "quality.silence_dbfs"),
        ("quality:\n  max_duration_s: .inf\n", "quality.max_duration_s"),
        ("quality:\n  max_dc_offset: .nan\n", "quality.max_dc_offset"),
        ("clips:\n  channel: 0\n", "clips.channel"),
        ("clips:\n  channel: -1\n", "clips.channel"),
        ("clips:\n  channel: left\n", "clips.channel"),
        ("clips:\n  min_seconds: 11\n", "clips.min_seconds"),
        ("models:\n  engine: witchcraft\n", "models.engine"),
        ("models:\n  min_normals: 1\n", "models.min_normals"),
        ("models:\n  memory_bank:\n    k: 0\n", "models.memory_bank.k"),
        ("embeddings:\n  logmel:\n    n_fft: 0.5\n", "embeddings.logmel.n_fft"),
        ("run:\n  workers: -1\n", "run.workers"),
        ("quality: 3\n", "quality"),
    ],
)
def test_an_unknown_name_or_an_impossible_value_is_refused_by_its_name(written, text, name):
    path = written(text)
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    assert f"{path}: {name}" in str(caught.value)


def test_everything_wrong_is_told_at_once(written):
    with pytest.raises(ParameterError, match=r"run\.workers.*report\.top_clips|report\.top_clips.*run\.workers"):
        read_params(written("run: {workers: -1}\nreport: {top_clips: 100}\n"))


@pytest.mark.parametrize("text", ["- a\n- list\n", "just text\n", "3\n"])
def test_a_file_that_is_no_tree_is_refused(written, text):
    path = written(text)
    with pytest.raises(ParameterError, match="dictionary") as caught:
        read_params(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_yaml_is_refused(written):
    path = written("decision: {false_alarm_rate: 0.1\n")
    with pytest.raises(ParameterError, match="not readable as YAML") as caught:
        read_params(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(written):
    path = written("# 팬 두 대\nclips:\n  channel: 2\n", encoding="cp949")
    with pytest.raises(ParameterError, match="UTF-8") as caught:
        read_params(path)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_is_no_trouble(written):
    assert read_params(written("# 팬\nclips:\n  channel: 2\n", encoding="utf-8-sig")).clips.channel == 2


@pytest.mark.parametrize("channel", [2, "average"])
def test_a_channel_is_a_number_or_the_average(channel):
    assert with_overrides(Params(), {"clips.channel": channel}).clips.channel == channel


class TestWherefrom:
    """$ALP_PARAMS, else the data root, else the checkout."""

    def test_the_checkout_without_anything_else(self, tmp_path):
        assert load_params(tmp_path) == read_params(PROJECT / "params.yaml")

    def test_the_data_root_before_the_checkout(self, tmp_path, written):
        written("models: {memory_bank: {k: 7}}\n")
        assert load_params(tmp_path) == with_overrides(Params(), {"models.memory_bank.k": 7})

    def test_the_named_file_before_the_data_root(self, tmp_path, written, monkeypatch):
        written("models: {memory_bank: {k: 7}}\n")
        monkeypatch.setenv("ALP_PARAMS", str(written("models: {memory_bank: {k: 9}}\n", "elsewhere/mine.yaml")))
        assert load_params(tmp_path).models.memory_bank.k == 9

    def test_a_named_file_must_be_there(self, tmp_path, written, monkeypatch):
        written("models: {memory_bank: {k: 7}}\n")
        monkeypatch.setenv("ALP_PARAMS", str(tmp_path / "missing.yaml"))
        with pytest.raises(ParameterError, match=r"missing\.yaml: no such file"):
            load_params(tmp_path)


class TestOverrides:
    """Single values by dotted name."""

    def test_only_the_named_values_change(self):
        changed = with_overrides(Params(), {"quality.max_channels": 2, "models.engine": "memory_bank"})
        assert (changed.quality.max_channels, changed.models.engine) == (2, "memory_bank")
        back = with_overrides(changed, {"quality.max_channels": 64, "models.engine": "auto"})
        assert back == Params()

    def test_the_given_parameters_stay(self):
        params = Params()
        with_overrides(params, {"quality.max_channels": 2, "synth": {"seed": 1}})
        assert params == Params()

    @pytest.mark.parametrize(
        "name", ["quality.max_chanels", "nothing", "", "run.workers.deep", "qualiti.max_channels"]
    )
    def test_an_unknown_name_is_refused(self, name):
        with pytest.raises(ParameterError, match="no such parameter") as caught:
            with_overrides(Params(), {name: 1})
        assert str(caught.value).startswith(f"{name}: ")

    def test_an_impossible_value_is_refused_by_its_name(self):
        with pytest.raises(ParameterError, match=r"decision\.false_alarm_rate"):
            with_overrides(Params(), {"decision.false_alarm_rate": 2})


def _groups(model):
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _groups(value)


def test_parameters_cannot_be_changed_in_place():
    for group in _groups(Params()):
        name = next(iter(type(group).model_fields))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(group, name, getattr(group, name))


def test_no_workers_means_one_thread_for_each_core():
    assert with_overrides(Params(), {"run.workers": 3}).run.threads == 3
    assert Params().run.threads >= 1
