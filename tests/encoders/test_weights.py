"""Checkpoints: where they are found, how they come in, and what is said when they cannot be used."""

import json
import re
import shutil
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.weights import weights_app
from alp_assets.encoders.checkpoint import read_checkpoint
from alp_assets.encoders.pretrained import make_pretrained
from alp_assets.encoders.weights import add_weights, bring_in, find_weights, slug
from alp_assets.errors import AlpError, WeightsMissing
from alp_assets.params import PretrainedParams
from tests.encoders.checkpoints import LOW, flip_byte, sounds, tiny_ast, tiny_waveform

HUB_ID = "MIT/ast-finetuned-audioset-10-10-0.4593"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_ast(tmp_path_factory.mktemp("saved") / "mine")


@pytest.fixture
def folder(saved, tmp_path):
    """A checkpoint of the test's own."""
    return shutil.copytree(saved, tmp_path / "mine")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """No settings of this machine, an empty cache, and a hub that cannot be reached; what was asked of it."""
    asked = []

    def unreachable(hub_id, **_):
        asked.append(hub_id)
        raise ConnectionError("Name or service not known\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    for name in ("ALP_WEIGHTS_AST", "ALP_WEIGHTS_BEATS", "ALP_DATA", "ALP_PARAMS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return asked


@pytest.fixture
def hub(monkeypatch, saved):
    """A hub that holds one checkpoint."""

    def download(hub_id, local_dir, allow_patterns, **_):
        assert "*.bin" not in allow_patterns
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            shutil.copyfile(saved / name, local_dir / name)
        (local_dir / ".cache" / "huggingface").mkdir(parents=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


def cached(tmp_path, saved, hub_id, commit="c0ffee"):
    """Put a checkpoint where Hugging Face's client keeps its downloads."""
    model = tmp_path / "hub-cache" / f"models--{hub_id.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    return shutil.copytree(saved, model / "snapshots" / commit)


def refused(name, root, params=LOW):
    with pytest.raises(WeightsMissing) as caught:
        make_pretrained(name, params, root)
    return str(caught.value)


class TestFinding:
    """Environment, parameter, data root, hub cache: in this order."""

    def test_nothing_is_found_where_nothing_is(self, root, no_network):
        for name in ("ast", "beats", "hf:some/model"):
            assert find_weights(name, PretrainedParams(), root) is None
        assert no_network == []

    def test_the_order(self, monkeypatch, root, folder, saved, tmp_path):
        in_cache = cached(tmp_path, saved, HUB_ID)
        assert find_weights("ast", LOW, root) == in_cache
        added = add_weights(str(folder), root)
        assert find_weights("ast", LOW, root) == added == root / "weights" / "ast"
        named = LOW.model_copy(update={"ast": str(folder)})
        assert find_weights("ast", named, root) == folder
        monkeypatch.setenv("ALP_WEIGHTS_AST", str(saved))
        assert find_weights("ast", named, root) == saved

    def test_an_environment_setting_that_names_nothing_is_told(self, monkeypatch, root, folder):
        add_weights(str(folder), root)
        monkeypatch.setenv("ALP_WEIGHTS_AST", "/nowhere")
        with pytest.raises(WeightsMissing, match="ALP_WEIGHTS_AST names /nowhere"):
            find_weights("ast", LOW, root)

    def test_any_model_by_path_name_or_hub_id(self, root, folder, saved, tmp_path):
        assert find_weights(f"hf:{folder}", LOW, root) == folder
        add_weights(str(folder), root, "pump-room")
        assert find_weights("hf:pump-room", LOW, root) == root / "weights" / "pump-room"
        assert find_weights("hf:some/model", LOW, root) is None
        assert find_weights("hf:some/model", LOW, root) != cached(tmp_path, saved, "some/model")
        assert find_weights("hf:some/model", LOW, root).name == "c0ffee"

    def test_a_download_that_was_cut_short_is_not_found(self, root, saved, tmp_path):
        (cached(tmp_path, saved, HUB_ID) / "model.safetensors").unlink()
        assert find_weights("ast", LOW, root) is None


class TestOffline:
    """What is said when the weights are nowhere."""

    def test_the_three_ways_are_named(self, root, no_network):
        told = refused("ast", root)
        for way in ("alp weights add PATH|HUB-ID", "ALP_WEIGHTS_AST", "a machine that reaches huggingface.co"):
            assert way in told
        assert "ConnectionError: Name or service not known" in told
        assert "second line" not in told
        assert no_network == [HUB_ID]

    def test_of_any_model(self, root, no_network):
        told = refused("hf:some/model", root)
        for way in ("alp weights add PATH|HUB-ID", "hf:/path/to/folder", "huggingface.co"):
            assert way in told
        assert no_network == ["some/model"]

    def test_of_a_path_the_hub_is_not_asked(self, root, no_network):
        assert "alp weights add" in refused("hf:/no/such/folder", root)
        assert no_network == []

    def test_of_beats_which_is_not_on_the_hub(self, root, no_network):
        told = refused("beats", root)
        assert "ALP_WEIGHTS_BEATS" in told
        assert "alp weights add PATH" in told
        assert no_network == []

    def test_nothing_half_is_left(self, root):
        refused("ast", root)
        assert [path.name for path in (root / "weights").iterdir()] == [".lock"]


def test_a_hub_that_is_reached_fills_the_data_root(hub, root):
    make_pretrained("ast", LOW, root)
    (place,) = (path for path in (root / "weights").iterdir() if path.is_dir())
    assert sorted(path.name for path in place.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "weights.json",
    ]
    assert read_checkpoint(place).model == HUB_ID
    assert find_weights("ast", LOW, root) == place


class TestAdding:
    """`add_weights`: checked, copied whole, with checksums."""

    def test_what_was_added_is_used_and_recorded(self, folder, root):
        place = add_weights(str(folder), root)
        card = json.loads((place / "weights.json").read_text())
        assert card["source"] == str(folder)
        assert card["architecture"] == "audio-spectrogram-transformer"
        assert sorted(card["files"]) == ["config.json", "model.safetensors", "preprocessor_config.json"]
        assert card["hash"] == read_checkpoint(folder).content_hash
        shutil.rmtree(folder)
        encoder = make_pretrained("ast", LOW, root)
        assert encoder.settings["weights_sha256"] == card["hash"]
        assert read_checkpoint(place).model == "mine"
        assert np.isfinite(encoder.encode(sounds(), ["pooled"])["pooled"]).all()

    def test_other_files_stay_behind(self, folder, root):
        (folder / "pytorch_model.bin").write_bytes(b"pickle")
        (folder / "README.md").write_text("read me")
        place = add_weights(str(folder), root)
        assert not {"pytorch_model.bin", "README.md"} & {path.name for path in place.iterdir()}

    def test_the_same_again_stays_as_it_is(self, folder, root, tmp_path):
        added = bring_in(str(folder), root)
        before = {path.name: path.read_bytes() for path in added.folder.iterdir()}
        again = bring_in(str(shutil.copytree(folder, tmp_path / "copy")), root)
        assert (added.already_there, again.already_there) == (False, True)
        assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before

    def test_another_replaces_only_where_that_is_said(self, folder, root, tmp_path):
        place = add_weights(str(folder), root)
        first = read_checkpoint(place).content_hash
        other = tiny_ast(tmp_path / "other", seed=5)
        with pytest.raises(AlpError, match=r"can no longer score once it is gone.* --replace") as caught:
            add_weights(str(other), root)
        assert first[:12] in str(caught.value)
        assert read_checkpoint(place).content_hash == first
        assert read_checkpoint(add_weights(str(other), root, replace=True)).content_hash != first
        assert read_checkpoint(place).model == "other"

    def test_the_same_mends_what_was_damaged_and_another_does_not(self, folder, root, tmp_path):
        place = add_weights(str(folder), root)
        flip_byte(place / "model.safetensors", -1)
        with pytest.raises(AlpError, match="another checkpoint is there"):
            add_weights(str(tiny_ast(tmp_path / "other", seed=5)), root)
        assert not bring_in(str(folder), root).already_there
        assert read_checkpoint(place).content_hash == read_checkpoint(folder).content_hash

    def test_a_folder_without_a_checkpoint_is_in_nobodys_way(self, folder, root):
        (root / "weights" / "ast").mkdir(parents=True)
        assert read_checkpoint(add_weights(str(folder), root)).model == "mine"

    def test_a_failure_leaves_what_was_there(self, folder, root):
        place = add_weights(str(folder), root)
        before = {path.name: path.read_bytes() for path in place.iterdir()}
        (folder / "config.json").write_text("{}")
        with pytest.raises(WeightsMissing):
            add_weights(str(folder), root)
        assert {path.name: path.read_bytes() for path in place.iterdir()} == before
        assert sorted(path.name for path in (root / "weights").iterdir()) == [".lock", "ast"]

    def test_from_the_hub(self, hub, root):
        assert add_weights("some/model", root) == root / "weights" / "ast"
        assert add_weights("some/model", root, "other") == root / "weights" / "other"

    def test_a_waveform_model_is_called_as_its_source(self, root, tmp_path):
        place = add_weights(str(tiny_waveform(tmp_path / "Wav2Vec base")), root)
        assert place.name == "Wav2Vec-base"
        assert make_pretrained("hf:Wav2Vec-base", LOW, root).views["pooled"] == (1, 64)

    def test_from_another_data_root_it_keeps_its_name(self, folder, root, tmp_path):
        place = add_weights(str(folder), root)
        again = add_weights(str(place), tmp_path / "elsewhere")
        assert read_checkpoint(again).model == "mine"
        assert read_checkpoint(again).content_hash == read_checkpoint(place).content_hash

    def test_shards(self, folder, root):
        from safetensors.numpy import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        names = [sorted(tensors)[0::2], sorted(tensors)[1::2]]
        for number, part in enumerate(names):
            save_file({name: tensors[name] for name in part}, folder / f"part-{number}.safetensors")
        index = {name: f"part-{number}.safetensors" for number, part in enumerate(names) for name in part}
        place = folder / "model.safetensors.index.json"
        place.write_text(json.dumps({"metadata": {}, "weight_map": index}))
        assert (add_weights(str(folder), root) / "part-1.safetensors").is_file()
        assert make_pretrained("ast", LOW, root).encode(sounds(), ["pooled"])["pooled"].shape == (1, 12, 64)
        place.write_text(json.dumps({"weight_map": {"a": "../../../etc/passwd"}}))
        with pytest.raises(WeightsMissing, match="names no files of this folder"):
            add_weights(str(folder), root)

    @pytest.mark.parametrize("source", ["/no/such/folder", "./no", "no such model", "../x"])
    def test_what_is_neither_folder_nor_hub_id(self, root, source, no_network):
        with pytest.raises(WeightsMissing, match="no such folder, and no id of a model on the hub"):
            add_weights(source, root)
        assert no_network == []

    @pytest.mark.parametrize("name", ["../ast", "a/b", ".hidden", ""])
    def test_names_that_are_no_folder(self, folder, root, name):
        with pytest.raises(WeightsMissing, match="cannot be a folder's name"):
            add_weights(str(folder), root, name)


class TestDamage:
    """Each kind of damage is told in words, from a folder and when it is added."""

    @pytest.fixture
    def told(self, folder, root):
        def both():
            with pytest.raises(WeightsMissing) as caught:
                add_weights(str(folder), root)
            assert str(folder) in str(caught.value)
            assert ".incoming" not in str(caught.value)
            # only the layers that are asked for are loaded, so there are fewer tensors to miss
            assert re.sub(r"\d+ tensor", "tensor", refused(f"hf:{folder}", root)) == re.sub(
                r"\d+ tensor", "tensor", str(caught.value)
            )
            return str(caught.value)

        return both

    def test_no_configuration(self, folder, told):
        (folder / "config.json").unlink()
        assert "there is no config.json" in told()

    def test_a_configuration_that_is_no_json(self, folder, told):
        (folder / "config.json").write_text("{not json")
        assert "config.json: not readable as JSON" in told()

    def test_no_weights(self, folder, told):
        (folder / "model.safetensors").unlink()
        assert "there is no model.safetensors" in told()

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
    def test_a_pickle_is_not_read(self, folder, told, name):
        (folder / "model.safetensors").rename(folder / name)
        assert f"{name} is a pickle" in told()
        assert "Convert it to model.safetensors" in told()

    @pytest.mark.parametrize("left", [-1, 5_000, 100])
    def test_a_file_that_was_cut_short(self, folder, told, left):
        place = folder / "model.safetensors"
        place.write_bytes(place.read_bytes()[:left])
        assert "model.safetensors: " in told()
        assert "cut short" in told() or "header cannot be read" in told()

    @pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"<html>Not found</html>"])
    def test_a_file_that_is_no_safetensors(self, folder, told, content):
        (folder / "model.safetensors").write_bytes(content)
        assert "no safetensors file" in told()

    def test_another_kind_of_model(self, folder, told):
        (folder / "config.json").write_text('{"model_type": "bert"}')
        assert "'bert', which is no audio encoder" in told()

    def test_weights_of_another_model_than_the_configuration(self, folder, told, tmp_path):
        other = tiny_waveform(tmp_path / "other")
        shutil.copyfile(other / "model.safetensors", folder / "model.safetensors")
        assert "lacks" in told()
        assert "audio-spectrogram-transformer, such as" in told()

    def test_other_shapes_than_the_configuration_says(self, folder, told):
        place = folder / "config.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), "intermediate_size": 96}))
        assert "has other shapes than its configuration says" in told()

    @pytest.mark.parametrize("change", [{"num_hidden_layers": "many"}, {"patch_size": 0}, {"hidden_size": -4}])
    def test_impossible_settings(self, folder, told, change):
        place = folder / "config.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), **change}))
        assert str(folder) in told()

    def test_features_that_the_layers_do_not_take(self, folder, told):
        place = folder / "preprocessor_config.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), "sampling_rate": 48_000}))
        assert "made for 48000 Hz" in told()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_byte_that_changed_after_adding_is_noticed(folder, root, name):
    place = add_weights(str(folder), root)
    make_pretrained("ast", LOW, root)
    flip_byte(place / name, -2)
    told = refused("ast", root)
    assert name in told
    assert "changed since `alp weights add`" in told or "not readable as JSON" in told


def test_a_file_that_vanished_after_adding_is_noticed(folder, root):
    place = add_weights(str(folder), root)
    (place / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json changed since" in refused("ast", root)


def test_ast_takes_no_other_architecture(root, tmp_path):
    params = LOW.model_copy(update={"ast": str(tiny_waveform(tmp_path / "other"))})
    told = refused("ast", root, params)
    assert "this is one of wav2vec2" in told
    assert make_pretrained(f"hf:{tmp_path / 'other'}", params, root).views["pooled"] == (1, 64)


def test_tensors_under_the_names_of_older_checkpoints(folder, root):
    """The published AST names its tensors as transformers did before version 5."""
    from safetensors.numpy import load_file, save_file

    place = folder / "model.safetensors"
    expected = make_pretrained(f"hf:{folder}", LOW, root).encode(sounds(), ["pooled"])["pooled"]
    renames = (
        ("layers.", "encoder.layer."),
        ("attention.q_proj", "attention.attention.query"),
        ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"),
        ("attention.o_proj", "attention.output.dense"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
    )
    tensors = {}
    for name, value in load_file(place).items():
        for new, old in renames:
            name = name.replace(new, old)
        tensors[name] = value
    save_file(tensors, place, {"format": "pt"})
    found = make_pretrained(f"hf:{folder}", LOW, root).encode(sounds(), ["pooled"])["pooled"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("MIT/ast-10", "MIT--ast-10"), ("/mnt/usb stick/a", "mnt--usb-stick--a"), ("../..", ""), ("a.b_c", "a.b_c")],
)
def test_slugs_are_folder_names(text, expected):
    assert slug(text) == expected


class TestCommand:
    """`alp weights add` and `alp weights list`."""

    @pytest.fixture
    def alp(self, root, monkeypatch):
        monkeypatch.setenv("COLUMNS", "220")
        app = typer.Typer()
        app.add_typer(weights_app, name="weights")
        app.command("other")(lambda: None)

        def run(*arguments):
            result = CliRunner().invoke(app, ["weights", *map(str, arguments), "--data", str(root)])
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result

        return run

    def test_add_and_list(self, alp, folder, root, monkeypatch):
        assert "No weights are here" in alp("list").output
        added = alp("add", folder).output
        assert f"{root / 'weights' / 'ast'}: audio-spectrogram-transformer" in added
        assert "Not versioned" in added
        monkeypatch.setenv("ALP_WEIGHTS_AST", str(folder))
        listed = alp("list").output
        content_hash = read_checkpoint(folder).content_hash
        assert content_hash in added
        assert listed.count(content_hash[:12]) == 2
        assert "data root" in listed
        assert "$ALP_WEIGHTS_AST" in listed

    def test_for_scripts(self, alp, folder, root):
        added = json.loads(alp("add", folder, "--name", "mine", "--json").stdout)
        assert added["folder"] == str(root / "weights" / "mine")
        (listed,) = json.loads(alp("list", "--json").stdout)
        assert listed["content_hash"] == added["hash"]
        assert listed["bytes"] == sum((folder / name).stat().st_size for name in read_checkpoint(folder).files)

    def test_what_cannot_be_used_is_listed_with_the_reason(self, alp, folder, root):
        alp("add", folder)
        flip_byte(root / "weights" / "ast" / "model.safetensors", -1)
        assert "ast (data root) cannot be used" in alp("list").output

    def test_the_same_again_is_said_and_another_needs_the_option(self, alp, folder, root, tmp_path):
        assert "already there" not in alp("add", folder).output
        again = alp("add", folder)
        assert again.exit_code == 0
        assert "already there" in again.output
        assert json.loads(alp("add", folder, "--json").stdout)["already_there"] is True
        other = tiny_ast(tmp_path / "other", seed=5)
        with pytest.raises(AlpError, match="--replace"):
            alp("add", other)
        assert read_checkpoint(other).content_hash in alp("add", other, "--replace").output

    def test_errors_are_words(self, alp):
        with pytest.raises(AlpError, match="no such folder"):
            alp("add", "/no/such/folder")

    def test_the_folder_gets_its_dvc_file_where_there_is_a_repository(self, alp, folder, root):
        root.mkdir()
        subprocess.run(
            [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True, capture_output=True
        )
        assert "Versioned in" in alp("add", folder).output
        assert (root / "weights" / "ast.dvc").is_file()
        assert make_pretrained("ast", LOW, root).encode(sounds(), ["pooled"])
        assert "Versioned in" in alp("add", folder).output


def test_the_command_imports_nothing_heavy():
    code = "import sys, alp_assets.commands.weights; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "huggingface_hub", "numpy"} & set(done.stdout.split())
