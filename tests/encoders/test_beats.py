"""BEATs: its published form becomes safetensors, and its layers give what SpeechBrain's own model gives."""

import json
import pickle
import sys

import numpy as np
import pytest
import torch

from alp_assets.encoders.checkpoint import read_checkpoint
from alp_assets.encoders.pretrained import make_pretrained
from alp_assets.encoders.weights import add_weights
from alp_assets.errors import WeightsMissing
from tests.encoders.checkpoints import LOW, flip_byte, sounds, ten_seconds

SETTINGS = {
    "encoder_layers": 4,
    "embed_dim": 16,
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 64,
    "encoder_attention_heads": 4,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "deep_norm": True,
    "num_buckets": 32,
    "max_distance": 128,
    "finetuned_model": True,
    "predictor_class": 5,
    "conv_pos": 16,
    "conv_pos_groups": 4,
}


@pytest.fixture
def speechbrain_beats():
    """SpeechBrain's module; the tests on it are skipped where it is not installed."""
    return pytest.importorskip(
        "speechbrain.lobes.models.beats", reason="SpeechBrain (alp[beats]) is not here", exc_type=Exception
    )


@pytest.fixture
def theirs(speechbrain_beats, monkeypatch):
    """SpeechBrain's own model, with random weights."""
    plain = speechbrain_beats.BEATsConfig
    monkeypatch.setattr(speechbrain_beats, "BEATsConfig", lambda _: plain(SETTINGS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = speechbrain_beats.BEATs(None, output_all_hiddens=True)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.02)
    monkeypatch.setattr(speechbrain_beats, "BEATsConfig", plain)
    return model


@pytest.fixture
def published(theirs, tmp_path):
    """Its checkpoint in the published form, with the weight norm under the names of older torch."""
    older = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = {}
    for name, value in theirs.state_dict().items():
        for new, old in older.items():
            name = name.replace(new, old)
        tensors[name] = value
    place = tmp_path / "BEATs_tiny.pt"
    torch.save({"cfg": vars(theirs.cfg), "model": tensors, "label_dict": {0: "hum"}}, place)
    return place


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("ALP_WEIGHTS_BEATS", raising=False)
    return tmp_path / "data"


def test_patches_and_pooled_are_those_of_speechbrain(theirs, published, root):
    add_weights(str(published), root)
    encoder = make_pretrained("beats", LOW.model_copy(update={"pooled_layers": (2, 3)}), root)
    assert encoder.views == {"patches": (3, 8, 62, 32), "pooled": (8, 64)}
    given = sounds(160_000, 50_000)
    waves = torch.from_numpy(np.stack([ten_seconds(sound) for sound in given]))
    with torch.inference_mode():
        states = theirs.extract_features(waves, torch.ones(2))[0]
    grids = states.transpose(1, 2).reshape(5, 2, 62, 8, 32).transpose(2, 3).numpy()
    found = encoder.encode(given, ["patches", "pooled"])
    for position, layer in enumerate(encoder.layers):
        np.testing.assert_allclose(found["patches"][:, position], grids[layer], atol=1e-3, rtol=1e-3)
    means = np.concatenate([grids[2], grids[3]], axis=-1).mean(axis=2)
    np.testing.assert_allclose(found["pooled"], means, atol=1e-4)
    alone = encoder.encode(given[1:], ["patches"])["patches"]
    assert alone[0].tobytes() == found["patches"][1].tobytes()


@pytest.mark.parametrize("way", ["parameter", "environment"])
def test_the_published_file_is_used_as_it_is(published, root, monkeypatch, way):
    params = LOW
    if way == "parameter":
        params = LOW.model_copy(update={"beats": str(published)})
    else:
        monkeypatch.setenv("ALP_WEIGHTS_BEATS", str(published))
    direct = make_pretrained("beats", params, root)
    monkeypatch.delenv("ALP_WEIGHTS_BEATS", raising=False)
    add_weights(str(published), root)
    added = make_pretrained("beats", LOW, root)
    assert direct is not added
    np.testing.assert_array_equal(
        direct.encode(sounds(), ["pooled"])["pooled"], added.encode(sounds(), ["pooled"])["pooled"]
    )


def test_added_it_is_safetensors_and_verified(published, root):
    place = add_weights(str(published), root)
    assert sorted(path.name for path in place.iterdir()) == ["config.json", "model.safetensors", "weights.json"]
    assert json.loads((place / "config.json").read_text())["encoder_layers"] == 4
    assert "predictor" not in (place / "model.safetensors").read_bytes()[:10_000].decode("latin-1")
    flip_byte(place / "model.safetensors", -1)
    with pytest.raises(WeightsMissing, match=r"model\.safetensors changed since"):
        make_pretrained("beats", LOW, root)


def test_missing_tensors_are_told(published, root):
    whole = torch.load(published, weights_only=True)
    del whole["model"]["encoder.layers.1.fc1.weight"]
    torch.save(whole, published)
    with pytest.raises(WeightsMissing, match=r"lacks 1 tensor of beats, such as encoder.layers.1.fc1.weight"):
        add_weights(str(published), root)


def test_without_speechbrain_it_says_what_to_install(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "speechbrain.lobes.models", None)
    place = tmp_path / "beats.pt"
    torch.save({"cfg": SETTINGS, "model": {}}, place)
    params = LOW.model_copy(update={"beats": str(place)})
    with pytest.raises(WeightsMissing, match=r"pip install 'alp\[beats\]'"):
        make_pretrained("beats", params, root)
    with pytest.raises(WeightsMissing, match=r"pip install 'alp\[beats\]'"):
        add_weights(str(place), root)


class _Bomb:
    def __reduce__(self):
        return print, ("a pickle ran",)


@pytest.mark.parametrize("content", ["code", "text", "other"])
def test_a_file_that_is_not_plain_tensors_is_refused(root, tmp_path, capsys, content):
    place = tmp_path / "beats.pt"
    if content == "code":
        torch.save({"cfg": _Bomb(), "model": {}}, place)
    elif content == "text":
        place.write_bytes(pickle.dumps("not a checkpoint"))
    else:
        torch.save({"model": {}}, place)
    with pytest.raises(WeightsMissing, match=r"beats.pt: (not readable|no BEATs checkpoint)"):
        add_weights(str(place), root)
    assert "a pickle ran" not in capsys.readouterr().out


def test_a_checkpoint_of_beats_is_read_without_speechbrain(tmp_path):
    place = tmp_path / "beats.pt"
    torch.save({"cfg": {**SETTINGS, "tensor": torch.zeros(1)}, "model": {}}, place)
    found = read_checkpoint(place)
    assert found.architecture == "beats"
    assert "tensor" not in found.config
    assert found.config["encoder_layers"] == 4
