"""The network: shapes, causality, normalisation, rotary positions, and what it costs."""

from __future__ import annotations

import pytest
import torch

from alp_assets.engines.time_moe.config import SHAPES
from alp_assets.engines.time_moe.layers import Attention, RMSNorm
from alp_assets.engines.time_moe.loss import horizon_pairs, huber_loss
from alp_assets.engines.time_moe.model import Network, reset_routers


def series_of(n=2, points=90, seed=0):
    return torch.randn(n, points, generator=torch.Generator().manual_seed(seed))


def counted(name):
    with torch.device("meta"):
        return Network(SHAPES[name])


def test_base_has_50_million_parameters_and_the_published_layout_50_million_active_ones():
    assert counted("base").size == 49_651_200
    published = counted("published")
    assert published.size == 113_352_192
    assert published.active_size == 49_651_200


def test_small_and_tiny_are_what_two_cores_train():
    assert counted("tiny").size < 50_000
    assert counted("small").size < 300_000


def test_each_head_forecasts_its_horizon(network):
    output = network()(series_of())
    assert [tuple(item.shape) for item in output.forecasts] == [(2, 90, 1), (2, 90, 8), (2, 90, 32), (2, 90, 64)]
    assert output.hidden.shape == (2, 90, 16)
    assert [len(item.chosen) for item in output.routings] == [180, 180]


def test_nothing_is_seen_of_the_future(network):
    model, first = network(), series_of()
    other = first.clone()
    other[:, 50:] += 5
    before, after = model(first), model(other)
    for one, two in zip((before.hidden, *before.forecasts), (after.hidden, *after.forecasts), strict=True):
        torch.testing.assert_close(one[:, :50], two[:, :50])
        assert not torch.allclose(one[:, 50:], two[:, 50:])


def test_every_point_of_the_past_is_seen(network):
    model, first = network(), series_of()
    other = first.clone()
    other[:, 0] += 5
    assert not torch.allclose(model(first).hidden[:, 89], model(other).hidden[:, 89], atol=1e-6)


def test_normalisation_brings_the_mean_square_to_1():
    norm = RMSNorm(32, epsilon=1e-5)
    torch.nn.init.ones_(norm.weight)
    states = 7 * torch.randn(10, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(states).square().mean(dim=1), torch.ones(10), atol=1e-4, rtol=1e-4)
    assert norm(torch.full((1, 32), 1e-5)).abs().max() < 0.01
    assert SHAPES["base"].epsilon == 1e-5


def test_attention_is_the_plain_formula_with_turned_queries_and_keys():
    attention = Attention(hidden=8, heads=2, rope_base=10_000.0)
    generator = torch.Generator().manual_seed(0)
    for value in attention.parameters():
        torch.nn.init.normal_(value, generator=generator)
    states = torch.randn(1, 5, 8, generator=generator)
    query, key, value = (states @ attention.qkv.T + attention.qkv_bias).view(5, 3, 2, 4).unbind(1)
    angle = torch.arange(5)[:, None] * torch.tensor([1.0, 10_000.0**-0.5])
    turn = torch.complex(angle.cos(), angle.sin())[:, None]

    def turned(part):
        whole = torch.complex(part[..., :2], part[..., 2:]) * turn
        return torch.cat((whole.real, whole.imag), dim=-1)

    query, key = turned(query), turned(key)
    found = torch.zeros(5, 2, 4)
    for head in range(2):
        weights = query[:, head] @ key[:, head].T / 4**0.5
        weights = weights.masked_fill(torch.triu(torch.ones(5, 5), 1).bool(), -torch.inf).softmax(dim=1)
        found[:, head] = weights @ value[:, head]
    torch.testing.assert_close(attention(states)[0], found.flatten(1) @ attention.out.T, atol=1e-5, rtol=1e-5)


def test_checkpointing_changes_no_gradient(network):
    grads = []
    for checkpointing in (False, True):
        model = network(checkpointing=checkpointing)
        huber_loss(model(series_of()), series_of(), delta=1.0).backward()
        grads.append({name: value.grad for name, value in model.named_parameters()})
    for name, value in grads[0].items():
        torch.testing.assert_close(grads[1][name], value)


def test_the_seed_decides_and_the_shared_generator_is_left_alone(network):
    state = torch.random.get_rng_state()
    first, same, other = network(1), network(1), network(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.layers[0].attention.qkv, same.layers[0].attention.qkv)
    assert not torch.equal(first.layers[0].attention.qkv, other.layers[0].attention.qkv)


def test_routers_are_set_anew_with_a_deviation_of_a_hundredth(network):
    model = network(shape=SHAPES["small"])
    with torch.no_grad():
        for layer in model.layers:
            layer.experts.router.fill_(9.0)
    reset_routers(model, torch.Generator().manual_seed(0))
    drawn = torch.cat([layer.experts.router.flatten() for layer in model.layers])
    assert drawn.std().item() == pytest.approx(0.01, rel=0.1)
    assert abs(drawn.mean().item()) < 0.002


def test_truth_is_what_comes_after_each_point():
    series = torch.arange(6.0)[None]
    (short, short_truth), (_, long_truth) = horizon_pairs([torch.zeros(1, 6, 1), torch.zeros(1, 6, 4)], series)
    assert short_truth[0, :, 0].tolist() == [1, 2, 3, 4, 5]
    assert long_truth[0].tolist() == [[1, 2, 3, 4], [2, 3, 4, 5]]
    assert short.shape == (1, 5, 1)


def test_a_horizon_beyond_the_series_is_left_out():
    assert len(horizon_pairs([torch.zeros(1, 6, 1), torch.zeros(1, 6, 6)], torch.zeros(1, 6))) == 1


def test_huber_is_square_near_and_straight_far():
    output = type("Output", (), {"forecasts": (torch.zeros(1, 3, 1),)})
    assert huber_loss(output, torch.tensor([[0.0, 0.5, 0.5]]), delta=1.0).item() == pytest.approx(0.125)
    assert huber_loss(output, torch.tensor([[0.0, 9.0, 9.0]]), delta=1.0).item() == pytest.approx(8.5)
    assert huber_loss(output, torch.tensor([[0.0, 9.0, 9.0]]), delta=0.5).item() == pytest.approx(0.5 * (9 - 0.25))
