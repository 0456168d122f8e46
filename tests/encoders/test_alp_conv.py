"""ALP's own encoder: shipped weights, one clip like another, damaged weights told."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from alp_assets.encoders.alp_conv import CARD_FILE, SHIPPED, WEIGHTS_FILE, AlpConvEncoder, shipped_encoder
from alp_assets.encoders.base import Sound
from alp_assets.encoders.catalog import make_encoder, resolve_encoder
from alp_assets.encoders.logmel import LogmelEncoder
from alp_assets.errors import WeightsMissing
from alp_assets.params import EmbeddingParams, LogmelParams


@pytest.fixture
def sounds():
    rng = np.random.default_rng(0)
    time = np.arange(160_000) / 16_000
    hums = [
        0.1 * np.sin(2 * np.pi * hz * time) + 0.01 * rng.standard_normal(len(time)) for hz in (50, 120, 300, 999)
    ]
    return [Sound(hum.astype(np.float32)) for hum in hums]


@pytest.fixture(scope="module")
def encoder():
    return shipped_encoder()


def test_the_weights_are_small_and_have_a_card():
    assert (SHIPPED / WEIGHTS_FILE).stat().st_size < 8_000_000
    card = shipped_encoder().card
    assert {"data", "recipe", "steps", "code_version", "log", "limits"} <= set(card)


def test_views_have_the_shapes_that_are_promised(encoder, sounds):
    found = encoder.encode(sounds, ["pooled", "patches"])
    for view, values in found.items():
        assert values.shape == (4, *encoder.views[view])
        assert np.isfinite(values).all()
    assert encoder.encode([], ["pooled"])["pooled"].shape == (0, *encoder.views["pooled"])


def test_the_first_depth_is_the_log_mel_statistics(encoder, sounds):
    own = encoder.encode(sounds, ["pooled"])["pooled"][:, 0]
    np.testing.assert_array_equal(own, LogmelEncoder(LogmelParams()).encode(sounds, ["pooled"])["pooled"])


@pytest.mark.parametrize("view", ["pooled", "patches"])
def test_a_clip_alone_is_as_among_others_bit_for_bit(encoder, sounds, view):
    together = encoder.encode(sounds, [view])[view]
    for i, sound in enumerate(sounds):
        np.testing.assert_array_equal(encoder.encode([sound], [view])[view][0], together[i])


def test_the_learned_depth_does_not_hear_the_gain(encoder, sounds):
    loud = encoder.encode(sounds, ["pooled"])["pooled"][:, 1]
    soft = encoder.encode([Sound(sound.samples * 0.25) for sound in sounds], ["pooled"])["pooled"][:, 1]
    np.testing.assert_allclose(loud, soft, atol=2e-3)
    assert np.abs(loud[0] - loud[3]).max() > 0.02


@pytest.mark.parametrize("samples", [160, 16_000, 96_000])
def test_shorter_sounds_are_taken(encoder, samples):
    sound = Sound(np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32))
    for view, values in encoder.encode([sound], ["pooled", "patches"]).items():
        assert values.shape == (1, *encoder.views[view])
        assert np.isfinite(values).all()


def test_silence_is_finite(encoder):
    found = encoder.encode([Sound(np.zeros(160_000, np.float32))], ["pooled", "patches"])
    assert all(np.isfinite(values).all() for values in found.values())


def test_auto_takes_it_where_no_weights_were_brought(tmp_path, monkeypatch):
    monkeypatch.delenv("ALP_WEIGHTS", raising=False)
    params = EmbeddingParams()
    assert resolve_encoder(params, tmp_path) == "alp_conv"
    assert make_encoder("alp_conv", params, tmp_path).name == "alp_conv"


def _copy(folder):
    shutil.copytree(SHIPPED, folder)
    return folder


def test_a_flipped_byte_in_the_weights_is_told(tmp_path):
    folder = _copy(tmp_path / "weights")
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(data)
    with pytest.raises(WeightsMissing, match="not the weights that the card describes"):
        AlpConvEncoder(folder)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CARD_FILE])
def test_a_missing_file_is_told_with_what_to_do(tmp_path, name):
    folder = _copy(tmp_path / "weights")
    (folder / name).unlink()
    with pytest.raises(WeightsMissing, match="alp pretrain"):
        AlpConvEncoder(folder)


def test_folding_the_normalisations_changes_nothing_but_rounding():
    torch = pytest.importorskip("torch")
    from alp_assets.encoders.conv_network import ConvNetwork, folded

    torch.manual_seed(0)
    network = ConvNetwork(bands=32, channels=4, width=8, projected=4)
    decibels = torch.randn(6, 32, 40) * 10 - 40
    for _ in range(3):  # so that the normalisations have means and deviations of their own
        network(decibels)
    with torch.inference_mode():
        plain = network.eval()(decibels)
        assert folded(network)(decibels).numpy() == pytest.approx(plain.numpy(), abs=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
