"""The pictures of the report: what they show, in two languages, without colours, and of odd data."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from alp_assets.report import charts, sound
from alp_assets.report.charts import embedding_map, roc, score_histogram, timeline
from alp_assets.report.effects import condition_effects
from alp_assets.report.model import Point, SectionView
from alp_assets.report.plane import plane_of
from tests.report.test_report import failed, points, scored, unlabelled

LABEL = 'aria-label="x"'


def histogram(section: SectionView) -> str:
    return score_histogram(section, "n", LABEL)


def test_histogram_has_a_row_for_each_group_in_both_languages() -> None:
    labels = ("normal",) * 30 + ("unknown",) * 10 + ("anomaly",) * 25
    svg = histogram(scored(test_labels=labels))
    ElementTree.fromstring(svg)
    for words in ("normal, learnt", "test, normal", "test, anomaly", "no label", "n = 52", "시험, 정상"):
        assert words in svg
    assert re.search(r'<text[^>]* lang="en"[^>]*>threshold 2.31', svg)
    assert re.search(r'<text[^>]* lang="ko"[^>]*>임계값 2.31', svg)
    assert svg.count("<pattern") == 2, "normal and unlabelled differ from the plain groups in greyscale"
    assert "test, anomaly" not in histogram(unlabelled())


def test_charts_of_one_page_share_no_ids_and_carry_no_loose_style() -> None:
    first, second = (score_histogram(scored(), name, LABEL) for name in ("a", "b"))
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "<style" not in first, "it would dress the whole page"


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration_scores": np.array([1.0])},
        {"calibration_scores": np.array([np.nan, np.inf, 1.0, 2.0])},
        {"calibration_scores": np.zeros(5), "threshold": 0.0},
        {"calibration_scores": np.full(3, -4.0), "threshold": None},
        {"calibration_scores": np.array([1.0, 1.1, 1.2, 5_000.0])},
        {"calibration_scores": np.array([np.nan]), "threshold": None},
    ],
    ids=["one", "not finite", "all alike", "no threshold", "far apart", "nothing"],
)
def test_histogram_of_odd_scores(changes: dict[str, Any]) -> None:
    section = scored(test_scores=np.empty(0), test_labels=(), test_decisions=(), **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElementTree.fromstring(histogram(section))


@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["linear", "log"])
def test_bars_never_straddle_the_threshold(scale: float) -> None:
    rng = np.random.default_rng(3)
    scores = np.r_[rng.gamma(9, 0.16, 40), scale * rng.gamma(14, 0.25, 9)]
    threshold = float(np.sort(scores)[30])
    edges, is_log = charts._edges(scores, threshold)
    assert is_log == (scale > 1)
    assert edges[0] <= scores.min()
    assert scores.max() <= edges[-1]
    counts = charts._counts(scores, edges, threshold)
    assert counts[edges[1:] > threshold * (1 + 1e-9)].sum() == (scores > threshold).sum() == 18
    assert counts.sum() == scores.size


def test_roc_is_drawn_only_where_both_labels_are() -> None:
    svg = roc(scored(), "n", LABEL)
    ElementTree.fromstring(svg)
    assert 'class="at-threshold"' in svg
    assert roc(unlabelled(), "n", LABEL) == ""
    assert roc(scored(test_labels=("normal",) * 65), "n", LABEL) == ""


def test_timeline_names_every_point_and_tells_labels_by_shape() -> None:
    told = points()
    svg = timeline(scored(), told, "n", LABEL)
    ElementTree.fromstring(svg)
    titles = re.findall("<title>(.*?)</title>", svg)
    assert len(titles) == sum(point.score is not None for point in told)
    assert any(title.startswith("p0 · 2024-05-01 08:00 · ") for title in titles)
    shapes = {
        label: re.search(rf'class="l-{label} [^>]*><defs><path [^>]*d="([^"]+)"', svg)
        for label in ("normal", "anomaly")
    }
    assert shapes["normal"] is not None
    assert shapes["anomaly"] is not None
    assert shapes["normal"][1] != shapes["anomaly"][1]


def test_timeline_needs_times_that_differ() -> None:
    at_once = [replace(point, recorded_at=points()[0].recorded_at) for point in points()]
    assert timeline(scored(), at_once, "n", LABEL) == ""
    assert timeline(scored(), [replace(point, recorded_at=None) for point in points()], "n", LABEL) == ""


def test_title_of_a_point_is_text() -> None:
    bad = Point("<b>$x", "test", "target", "normal", points()[0].recorded_at, 1.0, (0.0, 0.0))
    svg = embedding_map([bad, *points(5)], "n", LABEL)
    ElementTree.fromstring(svg)
    assert "&lt;b&gt;$x" in svg


def test_map_keeps_label_conditions_and_purpose_of_each_clip() -> None:
    svg = embedding_map(points(), "n", LABEL)
    assert svg.count("<title>") == 60
    for name in ("l-noise s-supplemental d-target", "l-anomaly s-test d-source", "l-normal s-train d-target"):
        assert f'class="{name}"' in svg
    assert embedding_map([replace(point, place=None) for point in points()], "n", LABEL) == ""


def test_clips_that_are_alike_lie_near_each_other() -> None:
    rng = np.random.default_rng(0)
    clips = rng.normal(0, 0.1, (30, 4, 5))
    clips[20:] += 3
    plane = plane_of(clips)
    assert plane is not None
    near, far = plane.places[:20, 0], plane.places[20:, 0]
    assert near.max() < far.min() or far.max() < near.min()
    assert plane.shares[0] > 0.9
    assert sum(plane.shares) <= 1 + 1e-9
    many = plane_of(np.tile(clips, (2, 1, 1)))
    assert many is not None
    np.testing.assert_allclose(many.places[:30], plane.places, atol=1e-6)


@pytest.mark.parametrize(
    "clips", [np.zeros((0, 4)), np.ones((2, 4)), np.ones((9, 4)), np.full((5, 3), np.nan)],
    ids=["none", "two", "all alike", "not finite"],
)  # fmt: skip
def test_no_map_of_clips_that_do_not_differ(clips: np.ndarray) -> None:
    assert plane_of(clips) is None


def test_effect_of_a_microphone_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(1, 0.1, 60)
    microphone = ["near"] * 30 + ["far"] * 30
    scores[30:] += 0.5
    speed = ["low", "high"] * 30
    found = condition_effects(scores, {"mic_position_id": microphone, "speed_level": speed}, 2.0)
    by_value = {item.value: item for item in found}
    assert list(by_value) == ["far", "near", "high", "low"]
    assert by_value["far"].chance is not None
    assert by_value["far"].chance < 0.01
    assert by_value["far"].shift == pytest.approx(0.5, abs=0.1)
    assert by_value["near"].shift < 0
    assert by_value["high"].chance is not None
    assert by_value["high"].chance > 0.05


def test_effect_of_few_clips_is_left_open() -> None:
    scores = np.arange(12.0)
    (few, many) = condition_effects(scores, {"load_level": ["full"] * 9 + ["half"] * 3}, 20.0)
    assert (few.n, few.chance, many.n, many.chance) == (9, None, 3, None)
    assert condition_effects(scores, {"load_level": ["full"] * 12, "noise_id": [""] * 12}, 20.0) == ()
    unknown = condition_effects(scores, {"load_level": ["full"] * 5 + ["half"] * 5 + [""] * 2}, 20.0)
    assert [item.n for item in unknown] == [5, 5]


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_spectrogram_shows_a_tone_at_its_frequency() -> None:
    time = np.arange(16_000 * 3) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 2_000 * time)).astype(np.float32)
    image = np.asarray(opened(sound.spectrogram(tone, 16_000)).convert("L"), dtype=float)
    height = 1 - (image.mean(axis=1).argmax() + 0.5) / len(image)
    assert height == pytest.approx(sound.height_of(2_000, 16_000), abs=0.02)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.empty(0), np.ones(10), np.full(2_000, np.nan)],
    ids=["silence", "empty", "very short", "not finite"],
)
def test_pictures_and_sound_of_odd_clips(samples: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(sound.spectrogram(samples.astype(np.float32), 16_000)).size[1] == sound.SPECTROGRAM_SIZE[1]
        sound.audio(samples.astype(np.float32), 16_000)


def marked(cells: np.ndarray, seconds: float = 10.0) -> np.ndarray:
    """How opaque the overlay is at each pixel."""
    return np.asarray(opened(sound.overlay(cells, 10.0, seconds)).convert("RGBA"))[..., 3]


@pytest.mark.parametrize(("seconds", "share"), [(10.0, 0.3), (4.0, 0.75)], ids=["whole", "only what was recorded"])
def test_overlay_marks_where_and_when_the_clip_differs(seconds: float, share: float) -> None:
    cells = np.zeros((12, 100))
    cells[2, 28:32] = 5.0
    if seconds < 10:
        cells[2, 95:] = 9.0  # in what was only repeated
    rows, columns = np.nonzero(marked(cells, seconds))
    assert columns.mean() / sound.MAP_SIZE[0] == pytest.approx(share, abs=0.02)
    assert 1 - rows.mean() / sound.MAP_SIZE[1] == pytest.approx(2.5 / 12, abs=0.03)


def test_overlay_has_an_outline_that_greyscale_shows() -> None:
    cells = np.zeros((12, 100))
    cells[4:8, 40:60] = 5.0
    grey = np.asarray(opened(sound.overlay(cells, 10.0, 10.0)).convert("LA"))
    seen = set(np.unique(grey[..., 0][grey[..., 1] == 255]).tolist())
    assert {0, 255} <= seen


def test_map_without_time_is_marked_at_the_edge() -> None:
    opaque = marked(np.r_[np.zeros(20), np.ones(4)][:, None])
    columns = np.nonzero(opaque.any(axis=0))[0]
    assert columns.min() > 0.9 * sound.MAP_SIZE[0]
    assert np.nonzero(opaque.any(axis=1))[0].max() < sound.MAP_SIZE[1] / 4


@pytest.mark.parametrize("cells", [np.full((3, 4), np.nan), np.zeros((1, 1)), np.full((128, 309), 2.0)])
def test_overlay_of_odd_maps(cells: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(sound.overlay(cells, 10.0, 0.5)).size == sound.MAP_SIZE


def test_nothing_is_drawn_of_a_section_without_clips() -> None:
    nothing = failed()
    assert roc(nothing, "n", LABEL) == timeline(nothing, (), "n", LABEL) == embedding_map((), "n", LABEL) == ""
