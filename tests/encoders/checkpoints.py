"""Tiny checkpoints with random weights, saved as transformers and BEATs save theirs."""

import numpy as np

from alp_assets.encoders.base import Sound
from alp_assets.params import PretrainedParams

LOW = PretrainedParams(pooled_layers=(1, 2), precision="float32")


def tiny_ast(folder, seed=0, layers=3, **settings):
    """An AST of 32 values; 12 x 12 patches unless told otherwise."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    shape = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "max_length": 128, **settings}
    config = ASTConfig(num_hidden_layers=layers, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _lively(ASTForAudioClassification(config))
    model.save_pretrained(folder)
    ASTFeatureExtractor(max_length=config.max_length).save_pretrained(folder)
    return folder


def tiny_waveform(folder, kind="wav2vec2", **settings):
    """A wav2vec 2.0 or one of its kin, of 32 values."""
    import torch
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    config = AutoConfig.for_model(
        kind,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        **settings,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def sounds(*lengths, seed=0):
    """Noise of so many samples each."""
    rng = np.random.default_rng(seed)
    return [Sound(rng.normal(0, 0.1, length).astype(np.float32)) for length in lengths or (160_000,)]


def ten_seconds(sound):
    return np.resize(sound.samples, 160_000)


def flip_byte(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def _lively(model):
    """Fresh transformers hardly change what flows through them; larger weights make every layer count."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model
