"""Frozen transformers: which numbers an embedding holds, and that nothing else shapes them."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from alp_assets.encoders.base import Sound
from alp_assets.encoders.pretrained import make_pretrained
from alp_assets.errors import ParameterError
from alp_assets.params import PretrainedParams
from tests.encoders.checkpoints import LOW, sounds, ten_seconds, tiny_ast, tiny_waveform

HALF = 2**-11
"""Relative rounding of float16, in which patches are kept."""


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory):
    return tiny_ast(tmp_path_factory.mktemp("checkpoints") / "ast")


@pytest.fixture
def make(ast_folder, tmp_path):
    def made(folder=ast_folder, params=LOW, **settings):
        return make_pretrained(f"hf:{folder}", params.model_copy(update=settings), tmp_path)

    return made


@pytest.fixture(scope="module")
def theirs(ast_folder):
    """transformers' own hidden states of two clips: (3 layers, 2, 12, 12, 32)."""
    from transformers import ASTFeatureExtractor, ASTModel

    extractor, model = ASTFeatureExtractor.from_pretrained(ast_folder), ASTModel.from_pretrained(ast_folder).eval()
    clips = [ten_seconds(sound) for sound in sounds(160_000, 40_000)]
    with torch.inference_mode():
        values = extractor(clips, sampling_rate=16_000, return_tensors="pt")["input_values"]
        states = model(values, output_hidden_states=True).hidden_states
    return np.stack([state[:, 2:].reshape(2, 12, 12, 32).numpy() for state in states[1:]])


@pytest.mark.parametrize(
    ("settings", "grid"),
    [
        ({"max_length": 1024}, (12, 101)),
        ({}, (12, 12)),
        ({"frequency_stride": 16, "time_stride": 16}, (8, 8)),
        ({"num_mel_bins": 64, "time_stride": 4}, (5, 29)),
    ],
)
def test_the_grid_is_that_of_the_configuration(make, tmp_path, settings, grid):
    folder = tiny_ast(tmp_path / "ast", layers=2, **settings)
    if "num_mel_bins" in settings:
        (folder / "preprocessor_config.json").unlink()
    encoder = make(folder, pooled_layers=(1,))
    assert encoder.views == {"patches": (1, *grid, 32), "pooled": (grid[0], 32)}
    found = encoder.encode(sounds(160_000), ["patches", "pooled"])
    assert {view: values.shape[1:] for view, values in found.items()} == encoder.views
    assert found["patches"].dtype == np.float16
    assert found["pooled"].dtype == np.float32


@pytest.mark.parametrize("layers", [(), (1,), (3,), (3, 1), (1, 2, 3)])
def test_patches_are_the_hidden_states_of_the_layers(make, theirs, layers):
    encoder = make(layers=layers)
    found = encoder.encode(sounds(160_000, 40_000), ["patches"])["patches"]
    expected = theirs[[layer - 1 for layer in layers or (1, 2)]].swapaxes(0, 1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=HALF)
    assert np.abs(theirs[0] - theirs[1]).max() > 0.1


def test_pooled_is_the_mean_over_time_of_its_layers(make, theirs):
    encoder = make(pooled_layers=(3, 1))
    pooled = encoder.encode(sounds(160_000, 40_000), ["pooled"])["pooled"]
    assert pooled.shape == (2, 12, 64)
    np.testing.assert_allclose(pooled, np.concatenate([theirs[2], theirs[0]], axis=-1).mean(axis=2), atol=1e-4)
    patches = make(layers=(3, 1)).encode(sounds(160_000, 40_000), ["patches"])["patches"].astype(np.float32)
    means = patches.mean(axis=3)
    np.testing.assert_allclose(pooled, np.concatenate([means[:, 0], means[:, 1]], axis=-1), atol=2e-3)


def test_layers_above_the_highest_that_is_asked_for_are_not_loaded(make):
    encoder = make(layers=(1,), pooled_layers=(2,))
    assert len(encoder._trunk._model.layers) == 2


def test_a_view_computes_only_the_layers_that_it_needs(make, monkeypatch):
    encoder = make(layers=(3,), pooled_layers=(1,))
    run = []
    for number, layer in enumerate(encoder._trunk._model.layers, start=1):
        layer.mlp.register_forward_hook(lambda *_, number=number: run.append(number))
    encoder.encode(sounds(), ["pooled"])
    assert run == [1]
    run.clear()
    encoder.encode(sounds(), ["patches", "pooled"])
    assert run == [1, 2, 3]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_clip_alone_has_the_same_embedding_bit_for_bit(make, batch, precision):
    encoder = make(batch=batch, precision=precision)
    given = sounds(160_000, 30_000, 160_000, 160_000, 99_999)
    together = encoder.encode(given, ["patches", "pooled"])
    for index, sound in enumerate(given):
        alone = encoder.encode([sound], ["patches", "pooled"])
        for view, values in together.items():
            assert alone[view][0].tobytes() == values[index].tobytes()


def test_batch_sizes_agree_within_rounding(make):
    given = sounds(*[160_000] * 5)
    found = [make(batch=batch).encode(given, ["pooled"])["pooled"] for batch in (1, 2, 5)]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_threads_that_encode_at_once_get_what_they_would_alone(make):
    encoder = make()
    given = sounds(*[160_000] * 6)
    alone = [encoder.encode([sound], ["pooled", "patches"]) for sound in given]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda sound: encoder.encode([sound], ["pooled", "patches"]), given))
    for first, second in zip(alone, found, strict=True):
        assert all(first[view].tobytes() == second[view].tobytes() for view in first)


def test_bfloat16_is_near_float32(make):
    given = sounds(160_000, 160_000)
    exact, coarse = (
        make(precision=precision).encode(given, ["pooled"])["pooled"] for precision in ("float32", "bfloat16")
    )
    assert not np.array_equal(exact, coarse)
    np.testing.assert_allclose(coarse, exact, atol=0.05)


def test_a_short_sound_is_repeated_from_its_start(make):
    encoder = make()
    (short,) = sounds(30_000)
    repeated = Sound(ten_seconds(short))
    first, second = encoder.encode([short, repeated], ["patches"])["patches"]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("samples", [0, 1, 399, 160_000])
def test_silence_is_finite(make, samples):
    found = make().encode([Sound(np.zeros(samples, np.float32))], ["patches", "pooled"])
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_broken_clip_spoils_no_other(make):
    good, other = sounds(160_000, 160_000)
    broken = Sound(np.full(160_000, np.nan, np.float32))
    encoder = make(batch=3)
    found = encoder.encode([good, broken, other], ["pooled"])["pooled"]
    assert np.isnan(found[1]).any()
    assert np.isfinite(found[[0, 2]]).all()


def test_values_beyond_half_precision_stay_finite(make, monkeypatch):
    encoder = make()
    state = encoder._trunk.hidden
    monkeypatch.setattr(encoder._trunk, "hidden", lambda *given: ((n, v * 1e6) for n, v in state(*given)))
    assert np.isfinite(encoder.encode(sounds(), ["patches"])["patches"]).all()


def test_no_sounds_give_no_embeddings(make):
    encoder = make()
    found = encoder.encode([], ["patches", "pooled"])
    assert {view: values.shape for view, values in found.items()} == {
        view: (0, *shape) for view, shape in encoder.views.items()
    }


@pytest.mark.parametrize("parameter", ["layers", "pooled_layers"])
def test_layers_that_the_model_does_not_have_are_refused(make, parameter):
    with pytest.raises(ParameterError, match=rf"{parameter}: .* no layer 4, 7; name layers between 1 and 3"):
        make(**{parameter: (1, 4, 7)})


class TestShallow:
    """A checkpoint of three layers, where the default pooled layers are 4 and 5."""

    @pytest.fixture
    def encoder(self, make):
        return make(params=PretrainedParams(precision="float32"))

    def test_it_offers_patches_alone(self, encoder, make):
        assert encoder.views == {"patches": (2, 12, 12, 32)}
        assert encoder.settings["pooled_layers"] == []
        found = encoder.encode(sounds(), ["patches"])["patches"]
        np.testing.assert_array_equal(found, make().encode(sounds(), ["patches"])["patches"])

    def test_pooled_is_refused_in_words(self, encoder):
        with pytest.raises(ParameterError, match=r"pooled_layers: .* no layer 4, 5; name layers between 1 and 3"):
            encoder.encode(sounds(), ["patches", "pooled"])

    def test_one_of_the_default_layers_is_not_enough(self, make, tmp_path):
        params = PretrainedParams(precision="float32")
        views = [set(make(tiny_ast(tmp_path / f"{n}", layers=n), params).views) for n in (4, 5)]
        assert views == [{"patches"}, {"patches", "pooled"}]

    def test_no_layers_at_all_are_refused(self, make):
        with pytest.raises(ParameterError, match=r"pooled_layers: none; name layers of .* between 1 and 3"):
            make(pooled_layers=())


def test_the_settings_are_plain_and_say_what_decides_the_values(make, ast_folder, tmp_path):
    settings = make().settings
    assert json.loads(json.dumps(settings)) == settings
    assert settings["layers"] == [1, 2] == settings["pooled_layers"]
    assert settings["precision"] == "float32"
    assert len(settings["weights_sha256"]) == 64
    assert make(precision="bfloat16").settings["precision"] == "bfloat16"
    other = make(tiny_ast(tmp_path / "ast", seed=1))
    assert other.settings["weights_sha256"] != settings["weights_sha256"]


def test_an_encoder_stays_loaded_until_its_files_change(make, tmp_path):
    folder = tiny_ast(tmp_path / "changing")
    first = make(folder)
    assert make(folder) is first
    tiny_ast(folder, seed=3)
    assert make(folder) is not first
    assert make(folder, layers=(1,)) is not first


def test_compiled_layers_give_the_same_within_rounding(make, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    np.testing.assert_array_equal(
        make(compile=True).encode(sounds(), ["pooled"])["pooled"], make().encode(sounds(), ["pooled"])["pooled"]
    )
    assert compiled


class TestWaveform:
    """Models that take the waveform: tokens in time, one band."""

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("wav2vec2", {}),
            ("wav2vec2", {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
            ("hubert", {}),
            ("wavlm", {}),
        ],
    )
    def test_patches_are_the_hidden_states(self, make, tmp_path, kind, settings):
        from transformers import AutoFeatureExtractor, AutoModel

        folder = tiny_waveform(tmp_path / kind, kind, **settings)
        encoder = make(folder, pooled_layers=(2,))
        given = sounds(160_000, 50_000)
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
        with torch.inference_mode():
            values = extractor([ten_seconds(sound) for sound in given], sampling_rate=16_000, return_tensors="pt")
            states = model(values["input_values"], output_hidden_states=True).hidden_states
        assert encoder.views == {"patches": (2, 1, 499, 32), "pooled": (1, 32)}
        found = encoder.encode(given, ["patches", "pooled"])
        for position, layer in enumerate(encoder.layers):
            np.testing.assert_allclose(found["patches"][:, position, 0], states[layer], atol=1e-4, rtol=2 * HALF)
        np.testing.assert_allclose(found["pooled"][:, 0], states[2].mean(dim=1), atol=1e-4)
        alone = encoder.encode(given[1:], ["patches"])["patches"]
        assert alone[0].tobytes() == found["patches"][1].tobytes()

    def test_a_model_for_another_sample_rate_is_refused(self, make, tmp_path):
        from alp_assets.errors import WeightsMissing

        folder = tiny_waveform(tmp_path / "model")
        place = folder / "preprocessor_config.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), "sampling_rate": 8_000}))
        with pytest.raises(WeightsMissing, match="made for 8000 Hz"):
            make(folder)


def test_the_default_layers_are_all_but_the_last(make):
    assert make(params=PretrainedParams(pooled_layers=(1,))).layers == (1, 2)
