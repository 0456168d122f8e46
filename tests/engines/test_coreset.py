"""Few points that cover many."""

import numpy as np
import pytest

from alp_assets.engines.coreset import k_center, sparse_projection


@pytest.fixture
def points():
    def make(n, width=8, seed=0):
        return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)

    return make


def radius(points, rows):
    gaps = np.linalg.norm(points[:, None] - points[None, rows], axis=2)
    return gaps.min(axis=1).max()


def test_every_cluster_is_covered_however_small(points):
    large, small = points(500, seed=1) * 0.01, points(3, seed=2) * 0.01 + 10
    clusters = np.concatenate([large, large + 5, small])
    rows = k_center(clusters, 3, 64, seed=0)
    assert sorted(np.searchsorted([500, 1_000], rows, side="right")) == [0, 1, 2]


def test_it_covers_better_than_chance(points):
    cloud = points(1_000)
    ours = radius(cloud, k_center(cloud, 50, 64, seed=0))
    by_chance = [radius(cloud, np.random.default_rng(seed).choice(1_000, 50, replace=False)) for seed in range(10)]
    assert ours < min(by_chance)


def test_it_covers_at_most_twice_as_badly_as_the_best_two(points):
    """Greedy k-center is within a factor of two of the best, by its theorem."""
    cloud = points(25, width=3)
    best = min(radius(cloud, [i, j]) for i in range(25) for j in range(i))
    assert radius(cloud, k_center(cloud, 2, 64, seed=0)) <= 2 * best


def test_more_rows_cover_better(points):
    cloud = points(500)
    radii = [radius(cloud, k_center(cloud, count, 64, seed=0)) for count in (1, 5, 25, 125, 499)]
    assert (np.diff(radii) < 0).all()


@pytest.mark.parametrize("count", [1, 7, 99])
def test_rows_are_different_and_ascending(points, count):
    rows = k_center(points(100, width=200), count, 16, seed=3)
    assert len(rows) == count
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 100


@pytest.mark.parametrize("count", [100, 1_000])
def test_nothing_is_left_out_where_all_fit(points, count):
    np.testing.assert_array_equal(k_center(points(100), count, 64, seed=0), np.arange(100))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_copies_count_once(points, kind):
    cloud = np.repeat(points(5), 40, axis=0).astype(kind)
    assert len(k_center(cloud, 50, 64, seed=0)) == 5
    assert len(k_center(np.zeros((50, 4), kind), 10, 64, seed=0)) == 1


def test_the_seed_decides_in_a_projection(points):
    wide = points(400, width=300)
    first = k_center(wide, 40, 8, seed=1)
    np.testing.assert_array_equal(first, k_center(wide, 40, 8, seed=1))
    assert set(first.tolist()) != set(k_center(wide, 40, 8, seed=2).tolist())


def test_a_projection_keeps_distances(points):
    wide = points(60, width=768)
    low = wide @ sparse_projection(768, 256, seed=0)
    before, after = (np.linalg.norm(x[:30] - x[30:], axis=1) for x in (wide, low))
    assert np.mean(after / before) == pytest.approx(1, abs=0.05)
    assert np.std(after / before) < 0.1


def test_a_projection_is_sparse():
    assert np.mean(sparse_projection(768, 64, seed=0) != 0) == pytest.approx(768**-0.5, rel=0.1)


def test_the_points_stay_as_they_were(points):
    cloud, untouched = points(50), points(50)
    k_center(cloud, 5, 4, seed=0)
    np.testing.assert_array_equal(cloud, untouched)
