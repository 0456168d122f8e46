"""Cutting series into windows: scale, starts, and an order that needs no memory."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.signals.windows import (
    EPSILON,
    FARTHEST,
    ArraySeries,
    Feed,
    WindowPlan,
    covering_starts,
    permuted,
    window_starts,
    z_score,
)


def test_a_series_is_brought_to_mean_0_and_deviation_1():
    found = z_score(np.random.default_rng(0).normal(7, 3, 10_000))
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(0, abs=1e-5)
    assert found.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e20, 1e-30])
def test_a_flat_line_is_zeros(value):
    np.testing.assert_array_equal(z_score(np.full(100, value, np.float32)), np.zeros(100))


def test_epsilon_keeps_tiny_noise_from_being_blown_up():
    noise = np.random.default_rng(0).normal(0, 1e-9, 1_000)
    assert np.abs(z_score(noise)).max() < 1e-9 / EPSILON * 10


def test_what_is_no_number_is_replaced_after_scaling():
    values = np.array([1.0, np.nan, 3.0, np.inf, -np.inf, 2.0])
    found = z_score(values)
    np.testing.assert_allclose(found[[0, 2, 5]], [-np.sqrt(1.5), np.sqrt(1.5), 0], rtol=1e-5)
    assert found[1] == 0
    assert found[3] == FARTHEST
    assert found[4] == -FARTHEST


@pytest.mark.parametrize("values", [[np.nan] * 5, [np.inf] * 5, [1e30, -1e30, 0, 1, 2], [1e308, -1e308, 0, 0, 0]])
def test_whatever_comes_in_finite_numbers_come_out(values):
    found = z_score(np.array(values))
    assert np.isfinite(found).all()
    assert np.isfinite(found**2).all()


@pytest.mark.parametrize(
    ("length", "window", "stride", "offset", "starts"),
    [(10, 4, 3, 0, [0, 3, 6]), (10, 4, 3, 2, [2, 5]), (4, 4, 3, 0, [0]), (3, 4, 3, 0, [])],
)
def test_windows_lie_within_the_series(length, window, stride, offset, starts):
    assert window_starts(length, window, stride, offset).tolist() == starts


@pytest.mark.parametrize("length", [8, 9, 11, 12, 40])
def test_covering_windows_leave_no_point_out(length):
    seen = {point for start in covering_starts(length, 8, 4) for point in range(start, start + 8)}
    assert seen == set(range(length))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1_000, 65_537])
def test_the_order_holds_every_window_once(count):
    found = permuted(np.arange(count), count, key=5)
    assert sorted(found.tolist()) == list(range(count))


def test_the_order_is_shuffled_and_hangs_on_the_key():
    first, other = (permuted(np.arange(1_000), 1_000, key) for key in (1, 2))
    assert abs(np.corrcoef(np.arange(1_000), first)[0, 1]) < 0.15
    assert (first == other).mean() < 0.02
    np.testing.assert_array_equal(permuted(np.arange(500, 510), 1_000, 1), first[500:510])


def test_offsets_lie_between_0_and_the_least_of_stride_and_slack():
    lengths = np.array([100, 105, 119, 400, 99])
    epochs = [WindowPlan(lengths, window=100, stride=20, seed=3).epoch(number) for number in range(300)]
    offsets = np.stack([epoch.offsets for epoch in epochs])[:, :4]
    assert offsets.min(axis=0).tolist() == [0, 0, 0, 0]
    assert offsets.max(axis=0).tolist() == [0, 5, 19, 19]
    for epoch in epochs[:20]:
        series, starts = epoch.pick(np.arange(epoch.count))
        assert (starts + 100 <= lengths[series]).all()
        assert 4 not in series


def test_an_epoch_has_every_window_of_its_offsets_once():
    lengths = np.array([50, 10, 33])
    epoch = WindowPlan(lengths, window=10, stride=5, seed=1).epoch(4)
    found = set(zip(*(values.tolist() for values in epoch.pick(np.arange(epoch.count))), strict=True))
    wanted = {
        (row, int(start))
        for row, (length, offset) in enumerate(zip(lengths, epoch.offsets, strict=True))
        for start in window_starts(int(length), 10, 5, int(offset))
    }
    assert found == wanted
    assert len(found) == epoch.count


def _feed(**others):
    values = np.arange(600, dtype=np.float32).reshape(3, 200)
    return Feed(ArraySeries(values), WindowPlan(np.full(3, 200), window=20, stride=10, seed=2), **others)


def test_a_feed_goes_on_from_epoch_and_position_alone():
    whole = _feed()
    first, rest = whole.take(37), None
    place = {"epoch": whole.epoch, "position": whole.position}
    rest = whole.take(90)
    np.testing.assert_array_equal(_feed(**place).take(90), rest)
    assert first.shape == (37, 20)
    assert not np.array_equal(first, rest[:37])


def test_batches_do_not_hang_on_how_they_are_asked_for():
    parts = _feed()
    np.testing.assert_array_equal(np.concatenate([parts.take(3) for _ in range(40)]), _feed().take(120))


def test_series_that_are_all_too_short_are_told():
    feed = Feed(ArraySeries(np.zeros((2, 5), np.float32)), WindowPlan(np.array([5, 5]), window=20, stride=10))
    with pytest.raises(ValueError, match="20 points"):
        feed.take(1)
