from __future__ import annotations

import numpy as np
import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.anomalies import ANOMALIES, add_anomaly
from alp_assets.synth.shapes import Signal, gain_db, noise, rms

RATE = 16_000
LENGTHS_S = {
    "impulse_burst": (0.05, 0.3),
    "band_tone": (0.5, 2.0),
    "bearing_rattle": (1.0, 3.0),
    "dropout": (0.8, 3.0),
}


def healthy(n: int = 10 * RATE, rate: int = RATE) -> Signal:
    return 0.05 * noise(np.random.default_rng(7), n, rate)


def inside(regions: list[list[float]], n: int, rate: int) -> np.ndarray:
    time_s = np.arange(n) / rate
    return np.any([(time_s >= start) & (time_s <= end) for start, end in regions], axis=0)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("kind", ANOMALIES)
def test_a_fault_changes_the_signal_inside_its_regions_only(kind, rate):
    before = healthy(10 * rate, rate)
    kept = before.copy()
    for seed in range(8):
        after, regions = add_anomaly(kind, before, rate, np.random.default_rng(seed))
        where = inside(regions, len(before), rate)
        assert after.shape == before.shape
        assert np.array_equal(after[~where], before[~where])
        assert np.mean(after[where] != before[where]) > 0.3
        for edges in regions:
            near = [np.abs(np.arange(len(before)) / rate - edge) < 0.03 for edge in edges]
            assert all((after[part] != before[part]).any() for part in near)
        assert np.array_equal(before, kept)


@pytest.mark.parametrize("kind", ANOMALIES)
def test_regions_lie_in_the_clip_apart_from_each_other_and_are_as_long_as_the_kind_lasts(kind):
    shortest, longest = LENGTHS_S[kind]
    counts = set()
    for seed in range(30):
        _, regions = add_anomaly(kind, healthy(), RATE, np.random.default_rng(seed))
        counts.add(len(regions))
        edges = [edge for region in regions for edge in region]
        assert edges == sorted(edges)
        assert edges[0] >= 0.0
        assert edges[-1] <= 10.0
        assert all(shortest - 0.001 <= end - start <= longest + 0.001 for start, end in regions)
    assert counts == ({1, 2} if kind == "impulse_burst" else {1})


@pytest.mark.parametrize("kind", ["impulse_burst", "band_tone", "bearing_rattle"])
@pytest.mark.parametrize("level_db", [-10.0, 6.0])
def test_the_level_is_what_is_added_relative_to_the_healthy_signal(kind, level_db):
    before = healthy()
    after, regions = add_anomaly(kind, before, RATE, np.random.default_rng(1), level_db)
    where = inside(regions, len(before), RATE)
    assert gain_db(rms((after - before)[where]) / rms(before)) == pytest.approx(level_db, abs=1.0)


def test_a_dropout_attenuates_by_its_level():
    before = healthy()
    after, [[start, end]] = add_anomaly("dropout", before, RATE, np.random.default_rng(1), -20.0)
    core = slice(int((start + 0.05) * RATE), int((end - 0.05) * RATE))
    assert after[core] == pytest.approx(0.1 * before[core])


@pytest.mark.parametrize("kind", ANOMALIES)
def test_a_clip_of_one_second_still_holds_a_fault(kind):
    for seed in range(10):
        _, regions = add_anomaly(kind, healthy(RATE), RATE, np.random.default_rng(seed))
        assert all(0.0 <= start < end <= 1.0 for start, end in regions)


def test_unknown_kinds_and_too_short_signals_are_refused():
    with pytest.raises(ParameterError, match=r"'melted'.*impulse_burst, band_tone"):
        add_anomaly("melted", healthy(), RATE, np.random.default_rng(0))
    with pytest.raises(ParameterError, match="one second"):
        add_anomaly("dropout", healthy(RATE - 1), RATE, np.random.default_rng(0))
