"""Routing and the sparse dispatch: the same as if all experts were computed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from alp_assets.engines.time_moe import experts as module
from alp_assets.engines.time_moe.config import SHAPES
from alp_assets.engines.time_moe.loss import balance_loss


def dense(layer, points):
    """Every expert for every point, and all but the chosen ones times 0."""
    routing = layer.route(points)
    weights = torch.zeros_like(routing.probabilities).scatter(
        1, routing.chosen, routing.probabilities.gather(1, routing.chosen)
    )
    found = torch.zeros_like(points)
    for expert in range(len(layer.gate_up)):
        gate, up = (points @ layer.gate_up[expert].T).chunk(2, dim=1)
        found = found + weights[:, expert : expert + 1] * ((functional.silu(gate) * up) @ layer.down[expert].T)
    gate, up = (points @ layer.shared_gate_up.T).chunk(2, dim=1)
    shared = (functional.silu(gate) * up) @ layer.shared_down.T
    return found + torch.sigmoid(points @ layer.shared_switch.T) * shared


@pytest.fixture(params=["one by one", "grouped"])
def layer(request, network, monkeypatch):
    """A layer of ``small`` with a router that decides, on either way of computing the experts."""
    found = network(shape=SHAPES["small"]).layers[0].experts
    with torch.no_grad():
        found.router.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(module, "_groups", lambda given: request.param == "grouped")
    return found


def points_of(count, seed=3):
    return torch.randn(count, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 2, 7, 500])
def test_sparse_is_dense(layer, count):
    points = points_of(count)
    found, _ = layer(points)
    torch.testing.assert_close(found, dense(layer, points), atol=1e-5, rtol=1e-5)


def gradients(layer, made):
    layer.zero_grad()
    made.square().sum().backward()
    return {name: value.grad.clone() for name, value in layer.named_parameters()}


def test_the_gradients_are_those_of_dense(layer):
    points = points_of(200)
    found, wanted = gradients(layer, layer(points)[0]), gradients(layer, dense(layer, points))
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], atol=1e-4, rtol=1e-4)


def test_experts_that_nobody_chose_and_one_that_all_chose(layer):
    with torch.no_grad():
        layer.router.zero_()
        layer.router[5] = 1.0
    points = points_of(50).abs()
    found, routing = layer(points)
    assert routing.counts[5] == 50
    assert (routing.counts == 0).any()
    torch.testing.assert_close(found, dense(layer, points), atol=1e-5, rtol=1e-5)


def test_only_the_chosen_experts_are_computed(network):
    layer = network().layers[0].experts
    points = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    chosen = set(layer.route(points).chosen.flatten().tolist())
    with torch.no_grad():
        for expert in set(range(8)) - chosen:
            layer.gate_up[expert] = float("nan")
    assert torch.isfinite(layer(points)[0]).all()


def test_each_point_takes_two_of_eight_experts(layer):
    routing = layer.route(points_of(100))
    assert routing.probabilities.shape == (100, 8)
    torch.testing.assert_close(routing.probabilities.sum(dim=1), torch.ones(100))
    assert routing.chosen.shape == (100, 2)
    assert (routing.chosen[:, 0] != routing.chosen[:, 1]).all()
    assert int(routing.counts.sum()) == 200


def test_large_logits_do_not_overflow(layer):
    routing = layer.route(1e4 * points_of(100))
    assert torch.isfinite(routing.probabilities).all()
    torch.testing.assert_close(routing.probabilities.sum(dim=1), torch.ones(100))


def test_routing_is_in_float32_whatever_the_rest_is_in(layer):
    with torch.autocast("cpu", torch.bfloat16):
        found, routing = layer(points_of(64))
    assert routing.probabilities.dtype == torch.float32
    assert torch.equal(routing.chosen, layer.route(points_of(64)).chosen)
    torch.testing.assert_close(found.float(), dense(layer, points_of(64)), atol=0.1, rtol=0.1)


def test_balance_is_1_for_even_use_and_more_for_uneven():
    even = module.Routing(torch.full((8, 4), 0.25), torch.arange(4).repeat(4).view(8, 2))
    one = module.Routing(torch.tensor([[0.97, 0.01, 0.01, 0.01]] * 8), torch.tensor([[0, 1]] * 8))
    assert balance_loss([even]).item() == pytest.approx(1.0)
    assert balance_loss([one]).item() == pytest.approx(4 * (0.5 * 0.97 + 0.5 * 0.01))
    assert balance_loss([even, one]).item() == pytest.approx((1 + 1.96) / 2)
