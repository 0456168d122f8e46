"""The parts of engine B, by hand-worked cases."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from alp_assets.engines.banks import search
from alp_assets.engines.banks.density import fit_density
from alp_assets.engines.banks.domains import drawn, usual
from alp_assets.engines.banks.fused import fit_fused
from alp_assets.engines.banks.genrep import fit_genrep, mem_mixup
from alp_assets.engines.banks.search import nearest, nearest_of_others
from alp_assets.engines.banks.whitening import learn_whitening
from alp_assets.engines.base import Normals

SCALE_OF_FEW = 0.15


def _line(*values):
    return np.array(values, np.float32)[:, None]


def _normals(values, domains, recordings=()):
    return Normals(np.asarray(values, np.float32), np.array(domains), np.array(recordings, dtype=np.str_))


class TestSearch:
    """Exact neighbours, however they are found."""

    def test_distances_and_rows_come_nearest_first(self):
        distances, rows = nearest(_line(2.0), _line(0, 5, 3, 2.5), 3)
        np.testing.assert_allclose(distances, [[0.5, 1, 2]])
        np.testing.assert_array_equal(rows, [[3, 2, 0]])

    def test_of_equally_near_ones_the_first_counts(self):
        _, rows = nearest(_line(1.0), _line(2, 0, 0, 2), 1)
        assert rows[0, 0] == 0

    @pytest.mark.parametrize("k", [1, 5])
    @pytest.mark.parametrize("offset", [0.0, 1_000.0])
    def test_faiss_finds_what_brute_force_finds(self, monkeypatch, k, offset):
        rng = np.random.default_rng(0)
        memory = (offset + rng.normal(size=(3_000, 24))).astype(np.float32)
        queries = (offset + rng.normal(size=(60, 24))).astype(np.float32)
        monkeypatch.setattr(search, "SMALL", 0)
        distances, rows = nearest(queries, memory, k)
        wide, asked = memory.astype(np.float64), queries.astype(np.float64)
        full = np.sqrt(((asked[:, None] - wide[None]) ** 2).sum(axis=2))
        np.testing.assert_array_equal(rows[:, 0], full.argmin(axis=1))
        np.testing.assert_allclose(distances, np.sort(full, axis=1)[:, :k], rtol=1e-12)
        alone = np.concatenate([nearest(queries[i : i + 1], memory, k)[0] for i in range(60)])
        np.testing.assert_array_equal(alone, distances)

    def test_both_ways_give_the_same_bits(self, monkeypatch):
        rng = np.random.default_rng(1)
        memory, queries = rng.normal(size=(2, 500, 9)).astype(np.float32)
        by_numpy = nearest(queries, memory, 3)
        monkeypatch.setattr(search, "SMALL", 0)
        for ours, theirs in zip(nearest(queries, memory, 3), by_numpy, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_threads_other_than_the_main_one_find_the_same(self, monkeypatch):
        monkeypatch.setattr(search, "SMALL", 0)
        memory = np.random.default_rng(2).normal(size=(400, 8)).astype(np.float32)
        found = []
        workers = [threading.Thread(target=lambda: found.append(nearest(memory[:50], memory, 2)[1])) for _ in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(found) == 2
        for rows in found:
            np.testing.assert_array_equal(rows, nearest(memory[:50], memory, 2)[1])

    @pytest.mark.parametrize("room", [7, 1_000_000])
    def test_others_are_those_of_another_group_in_any_number_of_blocks(self, monkeypatch, room):
        monkeypatch.setattr(search, "_BLOCK", room)
        memory, groups = _line(0, 0.1, 4, 9), np.array(["a", "a", "b", "c"])
        np.testing.assert_allclose(
            nearest_of_others(memory, groups, memory, groups, 1), [4, 3.9, 3.9, 5], rtol=1e-6
        )
        np.testing.assert_allclose(
            nearest_of_others(memory, groups, memory, groups, 2), [6.5, 6.4, 3.95, 6.95], rtol=1e-6
        )

    def test_what_is_held_at_a_time_is_bounded(self, monkeypatch):
        sizes = []
        products = search._products
        monkeypatch.setattr(search, "_BLOCK", 1_000)
        monkeypatch.setattr(
            search,
            "_products",
            lambda part, memory: sizes.append(len(part) * len(memory)) or products(part, memory),
        )
        memory, groups = (
            np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32),
            np.arange(100).astype(str),
        )
        nearest_of_others(memory, groups, memory, groups, 1)
        assert len(sizes) == 10
        assert max(sizes) <= 1_000


class TestUsual:
    """Mean and scale of what is usual."""

    def test_a_few_lean_on_the_typical_spread(self):
        mean, scale = usual(np.array([1.0, 1.0, 4.0]))
        assert mean == 2
        assert scale == pytest.approx(((3 * 2 + 4 * (SCALE_OF_FEW * 2) ** 2) / 7) ** 0.5)

    def test_of_very_many_some_are_drawn_by_the_seed(self):
        few = drawn(5_000, seed=1)
        assert len(set(few.tolist())) == 1_000
        assert (np.diff(few) > 0).all()
        np.testing.assert_array_equal(few, drawn(5_000, seed=1))
        assert (few != drawn(5_000, seed=2)).any()
        np.testing.assert_array_equal(drawn(3, seed=1), [0, 1, 2])


class TestGenRep:
    """The published method on a line."""

    def test_mixtures_lie_a_tenth_of_the_way_to_the_nearest_source_clips(self):
        mixed = mem_mixup(_line(10, 20), _line(0, 12, 30), 0.9, 2)
        np.testing.assert_allclose(mixed[..., 0], [[10.2, 9.0], [19.2, 21.0]], rtol=1e-6)

    def test_no_more_mixtures_than_source_clips(self):
        assert mem_mixup(_line(1, 2), _line(0, 5), 0.9, 5).shape == (2, 2, 1)

    def test_scores_by_hand(self):
        domains = ["source"] * 2 + ["target"] * 2
        model = fit_genrep(_normals(_line(0, 2, 10, 20), domains), k=1, share=0.9, neighbours=1, seed=0)
        # Each target clip's nearest source clip is 2: mixtures 9.2 and 18.2. Left out with its own mixture,
        # 10 is 8.2 from 18.2, and 20 is 10 from 10.
        target, source = model.banks["target"], model.banks["source"]
        np.testing.assert_allclose(np.sort(target.memory[:, 0]), [9.2, 10, 18.2, 20], rtol=1e-6)
        assert (target.mean, target.scale) == pytest.approx(usual(np.array([8.2, 10])), rel=1e-6)
        assert (source.mean, source.scale) == pytest.approx(usual(np.array([2.0, 2])))
        by_source, by_target = (3 - source.mean) / source.scale, (4.2 - target.mean) / target.scale
        np.testing.assert_allclose(model.score(_line(5.0)), min(by_source, by_target), rtol=1e-6)

    def test_a_recording_and_its_mixtures_are_left_out_together(self):
        domains, recordings = ["source"] * 2 + ["target"] * 3, ["s", "t", "a", "a", "b"]
        values = _line(0, 2, 10, 10.1, 20)
        model = fit_genrep(_normals(values, domains, recordings), k=1, share=0.9, neighbours=1, seed=0)
        assert model.banks["target"].mean == pytest.approx(np.mean([8.2, 8.1, 9.9]), rel=1e-6)

    @pytest.mark.parametrize(("domain", "neighbours"), [("target", 5), ("source", 5), ("target", 0)])
    def test_without_two_domains_or_neighbours_nothing_is_mixed(self, domain, neighbours):
        model = fit_genrep(_normals(_line(1, 2, 4), [domain] * 3), k=1, share=0.9, neighbours=neighbours, seed=0)
        np.testing.assert_array_equal(model.banks[domain].memory, _line(1, 2, 4))


class TestDensity:
    """Local density normalisation on a line."""

    def test_a_distance_counts_by_that_of_the_nearest_to_its_own_nearest(self):
        model = fit_density(_normals(_line(0, 1, 20, 30), ["target"] * 4), k=1)
        np.testing.assert_allclose(model.banks["target"].own, [1, 1, 10, 10])
        np.testing.assert_allclose(model.score(_line(3, 35)), [2, 0.5])

    def test_the_denser_of_two_banks_does_not_rule(self):
        normals = _normals(_line(0, 1, 100, 120), ["source"] * 2 + ["target"] * 2)
        np.testing.assert_allclose(fit_density(normals, k=1).score(_line(11, 130)), [4.45, 0.5])

    def test_clips_of_a_recording_do_not_make_it_dense(self):
        normals = _normals(_line(0, 0.01, 5), ["target"] * 3, ["a", "a", "b"])
        np.testing.assert_allclose(fit_density(normals, k=1).banks["target"].own, [5, 4.99, 4.99], rtol=1e-6)


class TestWhitening:
    """What normals differ by anyway counts little."""

    @staticmethod
    def clips(count=40, width=12, seed=0):
        """A common level that varies by 10 and bands of their own that vary by 1."""
        rng = np.random.default_rng(seed)
        return (rng.normal(0, 10, (count, 1)) + rng.normal(0, 1, (count, width))).astype(np.float32)

    def test_a_common_level_counts_less_than_one_band(self):
        clips = self.clips()
        whitening = learn_whitening(clips, np.arange(40), seed=0)
        level, band = np.full((1, 12), 3, np.float32), np.zeros((1, 12), np.float32)
        band[0, 4] = 3 * 12**0.5
        centre = whitening.of_queries(clips.mean(axis=0, keepdims=True))
        away = [
            np.linalg.norm(whitening.of_queries(clips.mean(axis=0) + shift) - centre) for shift in (level, band)
        ]
        assert away[0] < away[1]

    def test_it_is_the_root_of_the_inverse_covariance(self):
        clips = self.clips()
        whitening = learn_whitening(clips, np.arange(40), seed=0)
        scaled = (clips - whitening.centre) / whitening.spread
        product = scaled.T.astype(float) @ scaled / 39
        shrunk = 0.8 * product + np.trace(product) / 12 * np.eye(12)
        values, vectors = np.linalg.eigh(shrunk)
        expected = scaled @ (vectors / np.sqrt(values)) @ vectors.T
        np.testing.assert_allclose(whitening.of_memory(clips), expected, atol=1e-4)

    def test_fewer_clips_than_features_give_the_same_as_more(self):
        clips = self.clips(8, 30)
        whitening = learn_whitening(clips, np.arange(8), seed=0)
        assert whitening.directions.shape == (7, 30)
        product = np.cov(((clips - whitening.centre) / whitening.spread).T)
        shrunk = 0.8 * product + np.trace(product) / 30 * np.eye(30)
        values, vectors = np.linalg.eigh(shrunk)
        expected = (clips - whitening.centre) / whitening.spread @ (vectors / np.sqrt(values)) @ vectors.T
        np.testing.assert_allclose(whitening.of_memory(clips), expected, atol=1e-3)

    def test_what_sets_domains_apart_counts_little(self):
        clips = self.clips()
        shift = np.zeros(12, np.float32)
        shift[3:6] = 30
        clips[20:] += shift
        whitening = learn_whitening(clips, np.arange(40), seed=0)
        other = np.roll(shift, 5)
        length = [
            np.linalg.norm(whitening.of_queries((clips[0] + away)[None]) - whitening.of_queries(clips[:1]))
            for away in (shift, other)
        ]
        assert length[0] < 0.5 * length[1]

    def test_queries_and_memory_agree(self):
        clips = self.clips()
        whitening = learn_whitening(clips, np.arange(40), seed=0)
        np.testing.assert_allclose(whitening.of_queries(clips), whitening.of_memory(clips), atol=1e-4)

    def test_blocks_do_not_change_it(self, monkeypatch):
        from alp_assets.engines.banks import whitening as module

        clips = self.clips()
        whole = learn_whitening(clips, np.arange(40), seed=0)
        before = whole.of_memory(clips)
        monkeypatch.setattr(module, "_BLOCK", 50)
        np.testing.assert_allclose(whole.of_memory(clips), before, atol=1e-5)


class TestFused:
    """Broad and narrow differences on one scale."""

    @staticmethod
    def machine(count, seed, bands=32):
        rng = np.random.default_rng(seed)
        return (rng.normal(0, 3, (count, 1, 1)) + rng.normal(0, 1, (count, bands, 3))).astype(np.float32)

    @pytest.fixture(scope="class")
    def model(self):
        return fit_fused(_normals(self.machine(30, 0), ["target"] * 30), k=1, seed=0)

    def test_one_odd_band_and_a_little_everywhere_both_stand_out(self, model):
        test = self.machine(20, 1)
        narrow, broad = test.copy(), test.copy()
        narrow[:, 7] += 6
        broad += np.where(np.arange(32) % 2, 2, -2)[None, :, None]
        usual_scores = model.score(test)
        assert model.score(narrow).min() > usual_scores.max()
        assert model.score(broad).min() > usual_scores.max()

    def test_another_level_alone_is_nothing(self, model):
        test = self.machine(20, 1)
        assert np.abs(model.score(test + 3) - model.score(test)).max() < 1

    def test_usual_is_about_nought_for_clips_it_has_not_seen(self, model):
        assert np.median(model.score(self.machine(60, 2))) == pytest.approx(0, abs=0.7)

    def test_the_larger_of_both_readings_counts_and_its_band_is_shown(self, model):
        test = self.machine(1, 1)
        test[:, 7] += 20
        (evidence,) = model.explain(test)
        assert evidence.map.shape == (32, 1)
        assert evidence.map[:, 0].argmax() == 7

    def test_one_band_alone_has_no_map(self):
        model = fit_fused(_normals(self.machine(5, 0, bands=1), ["target"] * 5), k=1, seed=0)
        assert [item.map for item in model.explain(self.machine(2, 1, bands=1))] == [None, None]

    def test_very_many_normals_are_searched_by_faiss_and_sampled(self, monkeypatch):
        from alp_assets.engines.banks import domains, fused

        monkeypatch.setattr(search, "SMALL", 0)
        monkeypatch.setattr(fused, "drawn", lambda count, seed: domains.drawn(count, seed, 60))
        clips = self.machine(400, 0, bands=8)
        engine = [fit_fused(_normals(clips, ["source"] * 380 + ["target"] * 20), k=1, seed=s) for s in (0, 0, 1)]
        test = self.machine(50, 1, bands=8)
        together = engine[0].score(test)
        np.testing.assert_array_equal(together, engine[1].score(test))
        assert engine[0].means != engine[2].means
        np.testing.assert_array_equal(
            np.concatenate([engine[0].score(test[i : i + 1]) for i in range(50)]), together
        )
