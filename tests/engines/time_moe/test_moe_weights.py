"""Weights in the published layout, made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from alp_assets.engines.time_moe.config import SHAPES, Shape
from alp_assets.engines.time_moe.model import Network
from alp_assets.engines.time_moe.weights import load_published
from alp_assets.errors import WeightsMissing

LIKE_IT = Shape(hidden=16, layers=2, heads=2, expert_width=12, shared_width=24)


def published(shape=LIKE_IT, seed=0):
    """Tensors by the names that the hub has them under."""
    generator = torch.Generator().manual_seed(seed)
    d, made = shape.hidden, {}

    def add(name, *size):
        made[name] = 0.3 * torch.randn(size, generator=generator)

    add("model.embed_layer.emb_layer.weight", d, 1)
    add("model.embed_layer.gate_layer.weight", d, 1)
    add("model.norm.weight", d)
    for place, horizon in enumerate(shape.horizons):
        add(f"lm_heads.{place}.out_layer.weight", horizon, d)
    for number in range(shape.layers):
        layer = f"model.layers.{number}"
        for name in "qkv":
            add(f"{layer}.self_attn.{name}_proj.weight", d, d)
            add(f"{layer}.self_attn.{name}_proj.bias", d)
        add(f"{layer}.self_attn.o_proj.weight", d, d)
        add(f"{layer}.input_layernorm.weight", d)
        add(f"{layer}.post_attention_layernorm.weight", d)
        add(f"{layer}.ffn_layer.gate.weight", shape.experts, d)
        add(f"{layer}.ffn_layer.shared_expert_gate.weight", 1, d)
        widths = {f"experts.{expert}": shape.expert_width for expert in range(shape.experts)}
        for unit, width in {**widths, "shared_expert": shape.shared_width}.items():
            add(f"{layer}.ffn_layer.{unit}.gate_proj.weight", width, d)
            add(f"{layer}.ffn_layer.{unit}.up_proj.weight", width, d)
            add(f"{layer}.ffn_layer.{unit}.down_proj.weight", d, width)
    return made


def forecast(tensors, series, shape=LIKE_IT):
    """The published model's forecasts, written down from its layout: expert by expert, head by head."""

    def norm(states, weight):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + shape.epsilon) * weight

    def turned(states):
        half = states.shape[-1] // 2
        steps = shape.rope_base ** -(torch.arange(half) / half)
        angle = torch.cat([torch.arange(len(states))[:, None] * steps] * 2, dim=1)
        return states * angle.cos() + torch.cat([-states[:, half:], states[:, :half]], dim=1) * angle.sin()

    def unit(states, name):
        gate = functional.silu(states @ tensors[f"{name}.gate_proj.weight"].T)
        return (gate * (states @ tensors[f"{name}.up_proj.weight"].T)) @ tensors[f"{name}.down_proj.weight"].T

    column = series[:, None]
    states = functional.silu(column @ tensors["model.embed_layer.gate_layer.weight"].T)
    states = states * (column @ tensors["model.embed_layer.emb_layer.weight"].T)
    width = shape.hidden // shape.heads
    for number in range(shape.layers):
        layer = f"model.layers.{number}"
        given = norm(states, tensors[f"{layer}.input_layernorm.weight"])
        query, key, value = (
            given @ tensors[f"{layer}.self_attn.{name}_proj.weight"].T
            + tensors[f"{layer}.self_attn.{name}_proj.bias"]
            for name in "qkv"
        )
        heads = []
        for head in range(shape.heads):
            own = slice(head * width, (head + 1) * width)
            likeness = turned(query[:, own]) @ turned(key[:, own]).T / width**0.5
            future = torch.triu(torch.ones(len(series), len(series)), 1).bool()
            heads.append(likeness.masked_fill(future, -torch.inf).softmax(-1) @ value[:, own])
        states = states + torch.cat(heads, 1) @ tensors[f"{layer}.self_attn.o_proj.weight"].T
        given, ffn = norm(states, tensors[f"{layer}.post_attention_layernorm.weight"]), f"{layer}.ffn_layer"
        chance = (given @ tensors[f"{ffn}.gate.weight"].T).softmax(-1)
        best, chosen = chance.topk(shape.chosen)
        switch = torch.sigmoid(given @ tensors[f"{ffn}.shared_expert_gate.weight"].T)
        found = switch * unit(given, f"{ffn}.shared_expert")
        for point in range(len(series)):
            for weight, expert in zip(best[point], chosen[point].tolist(), strict=True):
                found[point] += weight * unit(given[point : point + 1], f"{ffn}.experts.{expert}")[0]
        states = states + found
    states = norm(states, tensors["model.norm.weight"])
    return [states @ tensors[f"lm_heads.{place}.out_layer.weight"].T for place in range(len(shape.horizons))]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(published(), path)
    return path


@pytest.mark.parametrize("folder", [False, True])
def test_the_network_forecasts_as_the_published_layout_says(network, file, folder):
    model = network(shape=LIKE_IT)
    loaded = load_published(model, file.parent if folder else file)
    assert not loaded.left
    assert set(loaded.taken) == {name for name, _ in model.named_parameters()}
    series = torch.randn(30, generator=torch.Generator().manual_seed(1))
    for found, wanted in zip(model(series[None]).forecasts, forecast(published(), series), strict=True):
        torch.testing.assert_close(found[0], wanted, atol=1e-5, rtol=1e-4)


def test_narrower_experts_stay_fresh_and_the_rest_is_taken(network, file):
    model = network(shape=replace(LIKE_IT, expert_width=3))
    before = model.layers[0].experts.gate_up.clone()
    loaded = load_published(model, file)
    assert set(loaded.left) == {f"layers.{row}.experts.{name}" for row in range(2) for name in ("gate_up", "down")}
    assert "(8, 24, 16), not (8, 6, 16)" in loaded.left["layers.0.experts.gate_up"]
    assert torch.equal(model.layers[0].experts.gate_up, before)
    assert torch.equal(model.norm.weight, published()["model.norm.weight"])


def test_what_is_not_there_stays_fresh(network, file):
    tensors = published()
    del tensors["model.layers.1.self_attn.k_proj.bias"], tensors["lm_heads.3.out_layer.weight"]
    save_file(tensors, file)
    loaded = load_published(network(shape=LIKE_IT), file)
    assert set(loaded.left) == {"layers.1.attention.qkv_bias", "heads.3"}
    assert "k_proj.bias is not there" in loaded.left["layers.1.attention.qkv_bias"]


def test_base_takes_all_but_the_experts_of_the_published_one():
    def shapes(name):
        with torch.device("meta"):
            return {name: value.shape for name, value in Network(SHAPES[name]).named_parameters()}

    base, whole = shapes("base"), shapes("published")
    assert base.keys() == whole.keys()
    other = {name for name in base if base[name] != whole[name]}
    assert other == {f"layers.{row}.experts.{name}" for row in range(12) for name in ("gate_up", "down")}


def test_files_that_will_not_do_are_refused_in_words(network, tmp_path):
    with pytest.raises(WeightsMissing, match=r"Download model\.safetensors"):
        load_published(network(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsMissing, match="not readable"):
        load_published(network(), tmp_path)
    save_file({"something": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsMissing, match="nothing in it fits"):
        load_published(network(), tmp_path)
