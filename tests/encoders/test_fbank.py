"""Filter bank energies of whole batches equal those that the extractor of AST computes clip by clip."""

import numpy as np
import pytest
import torch

from alp_assets.encoders.fbank import Fbank, frame_count
from tests.encoders.checkpoints import sounds


@pytest.fixture(scope="module")
def clips():
    found = np.stack([sound.samples for sound in sounds(160_000, 160_000)])
    time = np.arange(160_000) / 16_000
    tones = 0.8 * np.sin(2 * np.pi * 50 * time) + 1e-4 * np.sin(2 * np.pi * 6_000 * time)
    return np.concatenate([found, tones[None].astype(np.float32)])


@pytest.mark.parametrize("mels", [64, 128])
def test_they_are_those_of_the_extractor(clips, mels):
    from transformers import ASTFeatureExtractor

    extractor = ASTFeatureExtractor(num_mel_bins=mels, max_length=998, do_normalize=False)
    theirs = extractor(list(clips), sampling_rate=16_000, return_tensors="pt")["input_values"]
    ours = Fbank(mels, "hanning", 1.0, "cpu")(torch.from_numpy(clips))
    assert ours.shape == (3, 998, mels) == (3, frame_count(160_000), mels)
    assert ours.dtype == torch.float32
    difference = (ours - theirs).abs()
    assert difference.max() < 0.02  # float32 against float64, where a loud tone stands beside a silent band
    assert difference[:2].max() < 1e-3
    assert difference.mean() < 1e-5


def test_a_clip_has_the_same_energies_alone(clips):
    fbank = Fbank(128, "povey", 2.0**15, "cpu")
    together = fbank(torch.from_numpy(clips))
    for index in range(3):
        assert torch.equal(fbank(torch.from_numpy(clips[index : index + 1]))[0], together[index])


def test_silence_has_the_floor():
    silent = Fbank(128, "hanning", 1.0, "cpu")(torch.zeros(1, 16_000))
    assert torch.allclose(silent, torch.tensor(1.1920929e-07).log())


def test_full_scale_counts(clips):
    wave = torch.from_numpy(clips[:1])
    difference = Fbank(40, "hanning", 2.0**15, "cpu")(wave) - Fbank(40, "hanning", 1.0, "cpu")(wave)
    torch.testing.assert_close(difference, torch.full_like(difference, 30 * np.log(2)), atol=1e-2, rtol=0)
