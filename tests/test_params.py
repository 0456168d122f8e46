"""Parameters: where they come from, and what is refused."""

from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from alp_assets.errors import ParameterError
from alp_assets.params import (
    ENGINE_NAMES,
    PROJECT,
    LogmelParams,
    ModelParams,
    Params,
    load_params,
    read_params,
    with_overrides,
)
from alp_assets.report.text import ENGINE_LETTERS


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
        ("embeddings:\n  logmel:\n    fmin_hz: 9000\n", "embeddings.logmel: the bands from fmin_hz 9000"),
        ("embeddings:\n  logmel:\n    fmin_hz: 500\n    fmax_hz: 500\n", "embeddings.logmel: the bands"),
        ("embeddings:\n  logmel:\n    fmax_hz: 8001\n", "embeddings.logmel: the bands from fmin_hz 0"),
        ("embeddings:\n  logmel:\n    n_fft: 160001\n", "embeddings.logmel: n_fft 160001 is longer than a clip"),
        ("models:\n  memory_bank:\n    max_normals: 1\n", "models.memory_bank.max_normals"),
        ("models:\n  meta_prototype:\n    max_normals: 1\n", "models.meta_prototype.max_normals"),
        ("models:\n  isolation_forest:\n    max_normals: 1\n", "models.isolation_forest.max_normals"),
        ("models:\n  autoencoder:\n    max_normals: 1\n", "models.autoencoder.max_normals"),
        ("models:\n  meta_prototype:\n    learning_rate: 2\n", "models.meta_prototype.learning_rate"),
        ("models:\n  autoencoder:\n    learning_rate: 2\n", "models.autoencoder.learning_rate"),
        ("models:\n  isolation_forest: {bearing_hz: {bpfo: 0}}\n", "models.isolation_forest.bearing_hz.bpfo"),
        ("models:\n  isolation_forest: {bearing_hz: {87: 87}}\n", "models.isolation_forest.bearing_hz.87"),
        ("models:\n  isolation_forest: {bearing_hz: {'': 87}}\n", "models.isolation_forest.bearing_hz"),
        ("sensitivity:\n  levels_db: []\n", "sensitivity.levels_db: name at least one level"),
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


def test_the_longest_window_is_a_clip_and_the_highest_band_what_clips_hold():
    from alp_assets.audio.standardize import CLIP_SAMPLES, CLIP_SECONDS

    params = LogmelParams(n_fft=CLIP_SAMPLES, fmax_hz=CLIP_SAMPLES / CLIP_SECONDS / 2)
    with pytest.raises(ValidationError):
        LogmelParams(n_fft=params.n_fft + 1)
    with pytest.raises(ValidationError):
        LogmelParams(fmax_hz=params.fmax_hz + 1)


class TestEngines:
    """Engines by name or letter."""

    @pytest.mark.parametrize(
        ("letter", "name"), zip(("A", "B", "C", "L1", "L2", "S1", "S2", "S3", "S4"), ENGINE_NAMES, strict=True)
    )
    def test_letters_are_names(self, letter, name):
        assert ENGINE_LETTERS[name] == letter
        for given in (letter, letter.lower(), name):
            models = ModelParams(engine=given, pins={"acme": given}, second_opinions=[given])
            assert (models.engine, models.pins, models.second_opinions) == (name, {"acme": name}, (name,))

    @pytest.mark.parametrize("rule", ["auto", "auto+c", "auto+C"])
    def test_rules_choose_and_are_no_second_opinion(self, rule):
        models = ModelParams(engine=rule, pins={"acme": rule})
        assert models.engine == models.pins["acme"] == rule.lower()
        with pytest.raises(
            ParameterError, match=r"second_opinions\.0: .* is no engine; choose patch_memory \(A\)"
        ):
            with_overrides(Params(), {"models.second_opinions": [rule]})

    @pytest.mark.parametrize("given", ["x", "", 3, None, ["B"]])
    def test_an_unknown_engine_is_one_readable_error(self, given):
        choices = "auto, auto+c, patch_memory (A), memory_bank (B), meta_prototype (C), isolation_forest (L1), "
        signals = "time_moe (S1), signal_pca (S2), signal_spectrum (S3), signal_cnn (S4)"
        told = f"{given!r} is no engine; choose {choices}autoencoder (L2), {signals}"
        for name, value in (("models.engine", given), ("models.pins", {"acme": given})):
            with pytest.raises(ParameterError) as caught:
                with_overrides(Params(), {name: value})
            assert str(caught.value) == f"{name}{'.acme' * (name == 'models.pins')}: {told}"

    def test_one_second_opinion_needs_no_list(self):
        changed = with_overrides(Params(), {"models.second_opinions": "isolation_forest"})
        assert changed.models.second_opinions == ("isolation_forest",)


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
        "name",
        [
            "quality.max_chanels",
            "nothing",
            "run.workers.deep",
            "qualiti.max_channels",
            "models.pins.",
            "models.pinz.acme",
            "synth.speed",
        ],
    )
    def test_an_unknown_name_is_refused(self, name):
        with pytest.raises(ParameterError, match="no such parameter") as caught:
            with_overrides(Params(), {name: 1})
        assert str(caught.value).startswith(f"{name}: ")

    def test_a_value_without_a_name_is_refused(self):
        with pytest.raises(ParameterError, match="3 is given to no parameter; write its name before it"):
            with_overrides(Params(), {"": 3})

    def test_tables_take_entries_that_are_not_there(self):
        table = "models.isolation_forest.bearing_hz"
        given = {"models.pins.acme": "autoencoder", "models.pins.acme/pump-1": "B", f"{table}.no.1": 87}
        models = with_overrides(Params(), given).models
        assert models.pins == {"acme": "autoencoder", "acme/pump-1": "memory_bank"}
        assert models.isolation_forest.bearing_hz == {"no.1": 87.0}
        again = with_overrides(with_overrides(Params(), given), {"models.pins.acme": "auto"}).models
        assert again.pins == {"acme": "auto", "acme/pump-1": "memory_bank"}

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
