"""What a model would hear, with toy models whose hearing is known."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from alp_assets.engines.base import Normals
from alp_assets.params import SensitivityParams
from alp_assets.stages.corpus import Corpus
from alp_assets.stages.hearing import _held_out, _with_siblings
from alp_assets.stages.sensitivity import sensitivity
from alp_assets.synth.anomalies import ANOMALIES

RATE = 16_000


def _sounds(count, seconds=3.0):
    rng = np.random.default_rng(5)
    return [(0.1 * rng.standard_normal(int(seconds * RATE))).astype(np.float32) for _ in range(count)]


class Ear:
    """Scores how far the loudest or faintest tenth of a second is from the usual level, in dB."""

    def __init__(self):
        self.heard = []

    def __call__(self, sounds):
        self.heard.append([sound.copy() for sound in sounds])
        return np.array([self._score(sound) for sound in sounds])

    @staticmethod
    def _score(sound):
        frames = sound[: len(sound) // 1600 * 1600].reshape(-1, 1600)
        levels = 20 * np.log10(np.sqrt((frames.astype(float) ** 2).mean(axis=1)) + 1e-9)
        return float(np.abs(levels - np.median(levels)).max())

    @property
    def encodes(self):
        return sum(map(len, self.heard))


def _deaf(sounds):
    return np.zeros(len(sounds))


def _by_kind(found):
    assert [heard.kind for heard in found] == list(ANOMALIES)
    return {heard.kind: heard for heard in found}


def test_the_sharper_ear_hears_the_fainter():
    sounds, params = _sounds(4), SensitivityParams()
    sharp = _by_kind(sensitivity(Ear(), sounds, 1.0, params))
    dull = _by_kind(sensitivity(Ear(), sounds, 9.0, params))
    for kind in ("impulse_burst", "band_tone", "bearing_rattle"):
        assert sharp[kind].caught_at_db is not None
        assert dull[kind].caught_at_db is None or dull[kind].caught_at_db > sharp[kind].caught_at_db
    assert sharp["dropout"].caught_at_db == -6
    assert dull["dropout"].caught_at_db == -12
    assert "falling quiet for up to 3 s: caught in all 4 clips by 12 dB or more" in dull["dropout"].text


def test_all_plainer_levels_are_caught_and_the_next_is_not():
    params = SensitivityParams()
    for heard in sensitivity(Ear(), _sounds(4), 3.0, params):
        levels = list(heard.shares)
        plainest_first = sorted(levels) if heard.kind == "dropout" else sorted(levels, reverse=True)
        assert levels == plainest_first
        caught = [level for level in levels if heard.shares[level] >= params.caught]
        assert caught == levels[: len(caught)]
        assert len(levels) - len(caught) <= 1
        assert heard.caught_at_db == (caught[-1] if caught else None)


def test_a_machine_only_falls_quiet_below_0_db():
    heard = _by_kind(sensitivity(lambda sounds: np.full(len(sounds), 1.0), _sounds(2), 2.0, SensitivityParams()))
    assert list(heard["dropout"].shares) == [-18.0]
    levels = SensitivityParams(levels_db=(6.0, 0.0))
    assert list(_by_kind(sensitivity(_deaf, _sounds(2), 2.0, levels))["dropout"].shares) == [-6.0]


def test_a_deaf_model_hears_nothing_and_is_soon_done():
    ear = Ear()
    found = sensitivity(ear, _sounds(3), 1e9, SensitivityParams())
    assert [heard.caught_at_db for heard in found] == [None] * 4
    assert ear.encodes == 3 * (1 + 4)
    assert {"not caught reliably" in heard.text for heard in found} == {True}
    assert "even at +12 dB (0 of 3 clips)" in found[0].text


def test_one_call_for_a_kind_and_level_and_no_more_clips_than_asked():
    ear, params = Ear(), SensitivityParams(clips=3)
    found = sensitivity(ear, _sounds(9), 2.0, params)
    assert {heard.clips for heard in found} == {3}
    assert len(ear.heard) == 1 + sum(len(heard.shares) for heard in found)
    assert ear.encodes <= params.clips * (1 + 4 * len(params.levels_db))


def test_the_same_anomaly_at_every_level():
    """What was added at one level is what was added at another, louder."""
    ear, sounds = Ear(), _sounds(1)
    sensitivity(ear, sounds, 0.9, SensitivityParams(levels_db=(-6.0, -12.0)))
    before, louder, fainter = (heard[0].astype(float) for heard in ear.heard[:3])
    np.testing.assert_array_equal(before, sounds[0])
    np.testing.assert_allclose(fainter - before, (louder - before) / 10 ** (6 / 20), atol=1e-6)
    assert np.abs(louder - before).max() > 0.01


def test_clips_and_kinds_differ_and_the_seed_decides():
    ear, again, other = Ear(), Ear(), Ear()
    one_level = {"levels_db": (6.0,)}
    sounds = [_sounds(1)[0]] * 2
    found = sensitivity(ear, sounds, 50.0, SensitivityParams(**one_level))
    assert found == sensitivity(again, sounds, 50.0, SensitivityParams(**one_level))
    np.testing.assert_array_equal(ear.heard[1], again.heard[1])
    assert not np.array_equal(ear.heard[1][0], ear.heard[1][1])
    sensitivity(other, sounds, 50.0, SensitivityParams(seed=7, **one_level))
    assert not np.array_equal(ear.heard[1], other.heard[1])


def test_a_clip_that_rings_anyway_proves_nothing():
    sounds = _sounds(4)
    sounds[2][RATE : RATE + 1600] *= 20
    found = sensitivity(Ear(), sounds, 6.0, SensitivityParams())
    assert {(heard.clips, heard.tried) for heard in found} == {(3, 4)}
    nothing = sensitivity(Ear(), sounds, -1.0, SensitivityParams())
    assert {(heard.clips, heard.tried, heard.caught_at_db) for heard in nothing} == {(0, 4, None)}
    assert "all 4 held-out normals were above the threshold as they are" in nothing[0].text
    (text,) = {heard.text for heard in sensitivity(Ear(), sounds[:1], -1.0, SensitivityParams())}
    assert "the only held-out normal was above" in text


def test_what_is_caught_is_counted_in_clips():
    """A twentieth clip that is never caught is told, not rounded off."""

    def nearly(sounds):
        return np.array([0.0 if np.abs(sound).max() < 0.2 else 1.0 for sound in sounds])

    loudest = [0.01 * sound for sound in _sounds(1)]
    sounds = [*_sounds(19), *loudest]
    params = SensitivityParams(clips=20, levels_db=(12.0,))
    scored = [sound * (0.15 / np.abs(sound).max()) for sound in sounds[:19]] + loudest
    heard = _by_kind(sensitivity(nearly, scored, 0.5, params))["band_tone"]
    assert heard.shares == {12.0: 0.95}
    assert "caught in at least 19 of 20 clips from +12 dB" in heard.text


def test_clips_under_a_second_are_left_out():
    short = [np.zeros(RATE - 1, np.float32)]
    for none in (short, []):
        found = sensitivity(Ear(), none, 1.0, SensitivityParams())
        assert {(heard.clips, heard.tried) for heard in found} == {(0, 0)}
        assert "no held-out normal of at least a second" in found[0].text
    found = sensitivity(Ear(), [*short, *_sounds(2)], 6.0, SensitivityParams())
    assert {heard.clips for heard in found} == {2}


def test_sounds_stay_sounds():
    ear = Ear()
    loud = [np.clip(5 * sound, -1, 1) for sound in _sounds(2)]
    kept = [sound.copy() for sound in loud]
    sensitivity(ear, loud, 1e9, SensitivityParams())
    np.testing.assert_array_equal(loud, kept)
    for sound in (sound for heard in ear.heard for sound in heard):
        assert sound.dtype == np.float32
        assert np.abs(sound).max() <= 1
        assert len(sound) == len(loud[0])


def test_silence_is_not_heard():
    found = sensitivity(Ear(), [np.zeros(2 * RATE, np.float32)], 1.0, SensitivityParams())
    assert [heard.caught_at_db for heard in found] == [None] * 4


def test_a_score_that_is_none_is_not_heard():
    def lost(sounds):
        return np.array([0.0 if np.array_equal(sound, quiet) else np.nan for sound in sounds])

    quiet = _sounds(1)[0]
    assert {heard.caught_at_db for heard in sensitivity(lost, [quiet], 1.0, SensitivityParams())} == {None}


def test_without_a_level_nothing_is_claimed():
    heard = _by_kind(sensitivity(_deaf, _sounds(1), 1.0, SensitivityParams(levels_db=(0.0,))))["dropout"]
    assert (heard.caught_at_db, heard.shares) == (None, {})
    assert "not tried" in heard.text


def test_it_is_json():
    found = sensitivity(Ear(), _sounds(2), 3.0, SensitivityParams())
    assert json.loads(json.dumps([asdict(heard) for heard in found]))[0]["kind"] == "impulse_burst"


def _corpus(own, earlier=0, clips=1):
    """Own recordings by domain in the order of the domains, after so many of earlier packages."""
    domains = ["source"] * earlier + [name for name, count in own.items() for _ in range(count)]
    domains = np.repeat(domains, clips)
    recordings = np.repeat([f"r{number}" for number in range(len(domains) // clips)], clips)
    mine = np.arange(len(domains)) >= earlier * clips
    normals = Normals(np.zeros((len(domains), 2), np.float32), domains, recordings)
    return Corpus(normals, list(map(str, range(len(domains)))), mine, np.arange(len(domains)), ["p"], {})


def _held(corpus, most=8):
    rows = _held_out(corpus, most)
    assert not (rows & ~corpus.own).any()
    assert 0 < rows.sum() <= most
    np.testing.assert_array_equal(rows, _held_out(corpus, most))
    left = ~_with_siblings(corpus, rows)
    assert not np.intersect1d(corpus.normals.recordings[left], corpus.normals.recordings[rows]).size
    counts = {}
    for domain in ("source", "target"):
        within = corpus.normals.domains == domain
        counts[domain] = int((rows & within).sum()), len(set(corpus.normals.recordings[left & within]))
    return counts


def test_held_out_clips_come_from_every_domain_and_leave_some_of_each():
    assert _held(_corpus({"source": 6, "target": 3})) == {"source": (2, 4), "target": (1, 2)}
    assert _held(_corpus({"source": 990, "target": 10})) == {"source": (5, 985), "target": (3, 7)}
    assert _held(_corpus({"target": 3})) == {"source": (0, 0), "target": (1, 2)}


def test_a_domain_of_two_is_left_whole_unless_there_is_nothing_else():
    assert _held(_corpus({"source": 6, "target": 2})) == {"source": (2, 4), "target": (0, 2)}
    assert _held(_corpus({"target": 2})) == {"source": (0, 0), "target": (1, 1)}
    assert _held(_corpus({"target": 2}, earlier=9)) == {"source": (0, 9), "target": (1, 1)}
    assert _held(_corpus({"source": 1, "target": 2}, earlier=9)) == {"source": (1, 9), "target": (0, 2)}


def test_held_out_clips_are_spread_over_the_recordings():
    found = np.flatnonzero(_held_out(_corpus({"source": 30}), 3))
    np.testing.assert_array_equal(found, [5, 15, 25])
    cut = _corpus({"source": 9}, clips=60)
    assert set(cut.normals.recordings[_held_out(cut, 8)]) == {"r1", "r4", "r7"}


def test_of_a_single_recording_a_third_of_the_clips_is_held_out():
    alone = _corpus({"target": 1}, clips=6)
    rows = _held_out(alone, 8)
    assert (rows.sum(), _with_siblings(alone, rows).sum()) == (2, 2)
