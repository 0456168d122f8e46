"""The report as a page: complete, self-contained, escaped, the same twice; and its figures."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from alp_assets.report import html, plots, text
from alp_assets.report.html import SET_ASIDE_SHOWN, render_report
from alp_assets.report.model import ClipView, RecordingRow, ReportView, SectionView
from alp_assets.report.plots import SPECTROGRAM_BOX, SPECTROGRAM_SIZE, score_histogram, spectrogram
from schemas.problems import Problem

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;$\\frac{"
VOID = {"meta", "br", "img", "rect"}


@dataclass
class Page(HTMLParser):
    """A parsed page: every element with its attributes, the text, and whether all tags close in order."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    misnested: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def noise_clip(seed: int = 0, seconds: float = 2.0, **changes: Any) -> ClipView:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32)
    values = {
        "clip_id": f"clip_{seed}",
        "recording": f"audio/rec_{seed}.wav",
        "score": 3.25,
        "threshold": 2.31,
        "severity": 81.0,
        "decision": "anomaly",
        "label": "anomaly",
        "samples": samples,
        "sample_rate": 16_000,
    }
    return ClipView(**{**values, **changes})


def scored(**changes: Any) -> SectionView:
    rng = np.random.default_rng(1)
    values = {
        "machine_type": "fan",
        "section_id": "3호기 팬",
        "state": "scored",
        "reason": "12 target normals are enough for nearest neighbours.",
        "engine": "memory_bank",
        "encoder": "logmel",
        "model_version": "7c1f09ab",
        "model_origin": "2024-05-first",
        "normals_source": 40,
        "normals_target": 12,
        "threshold": 2.31,
        "promised_false_alarm_rate": 0.1,
        "promise_supported": True,
        "promise_note": "52 calibration scores support it.",
        "observed_false_alarms": 3,
        "observed_normals": 40,
        "observed_interval": (0.01574, 0.20386),
        "auc_source": 0.9834,
        "auc_target": 0.912,
        "pauc": 0.8471,
        "metrics_note": "",
        "calibration_scores": rng.gamma(9, 0.16, 52),
        "test_scores": np.r_[rng.gamma(9, 0.16, 40), rng.gamma(14, 0.25, 25)],
        "test_labels": ("normal",) * 40 + ("anomaly",) * 25,
        "test_decisions": ("normal",) * 38 + ("anomaly",) * 27,
        "top": (noise_clip(),),
    }
    return SectionView(**{**values, **changes})


def unlabelled(**changes: Any) -> SectionView:
    section = scored(section_id="P-07", machine_type="pump", test_labels=("unknown",) * 65, top=())
    nothing = dict.fromkeys(("observed_false_alarms", "observed_normals", "observed_interval"))
    no_auc = dict.fromkeys(("auc_source", "auc_target", "pauc"))
    return replace(section, **{**nothing, **no_auc, **changes})


def cannot_score() -> SectionView:
    empty = dict.fromkeys(("engine", "encoder", "model_version", "model_origin", "threshold"))
    return replace(
        unlabelled(),
        **empty,
        section_id="V2",
        machine_type="valve",
        state="cannot_score",
        reason="1 normal clip; at least 2 are needed.",
        promised_false_alarm_rate=None,
        calibration_scores=np.empty(0),
        test_scores=np.empty(0),
        test_labels=(),
        test_decisions=(),
    )


def report(*sections: SectionView, **changes: Any) -> ReportView:
    values = {
        "customer": "acme",
        "package": "line-2",
        "received_at": "2024-06-03T09:12:44+09:00",
        "original_name": "6월 녹음.zip",
        "sha256": "9f2b" * 16,
        "bytes": 734_003_200,
        "recordings_received": 132,
        "recordings_accepted": 131,
        "clips": 1_142,
        "hours": 3.17,
        "set_aside": (
            RecordingRow(
                "audio/quiet.wav", 12, "pump", "P-07", "set aside", ("97 % silent.",), 12.0, 16_000, 1, -91.2
            ),
        ),
        "problems": [
            Problem("warning", "Unknown column.", "Remove it.", column="memo"),
            Problem("error", "Not a date.", "Write 2024-05-31.", row=7, column="recorded_at", value="May"),
        ],
        "sections": sections,
        "metrics_overall": {"AUC, harmonic mean": 0.947, "F1": None},
        "parameters": "decision:\n  false_alarm_rate: 0.1\n",
        "versions": {"alp": "0.1.0"},
    }
    return ReportView(**{**values, **changes})


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_report(report(scored(), unlabelled(), cannot_score())))


def test_page_is_well_formed_and_accessible(page: Page) -> None:
    assert page.misnested == []
    assert page.stack == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.all("a")]
    assert {f"#{name}" for name in ids} >= set(targets)
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) == 3


def test_page_loads_nothing(page: Page) -> None:
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert all(str(attributes["src"]).startswith("data:image/") for attributes in page.all("img"))


def test_what_was_received_comes_first(page: Page) -> None:
    told = page.text
    order = [
        "What was received",
        "What was set aside",
        "at a glance",
        "Each machine",
        "Problems",
        "Parameters",
    ]
    places = [told.index(heading) for heading in order]
    assert places == sorted(places)
    for fact in ("6월 녹음.zip", "700.0 MiB", "9f2b" * 16, "2024-06-03T09:12:44+09:00", "1,142", "3.17"):
        assert fact in told
    for fact in ("audio/quiet.wav", "97 % silent.", "12.0 s", "16,000 Hz, 1 ch", "-91.2 dBFS"):
        assert fact in told
    assert "2 of 3 machines could be scored. 54 of 130 scored clips are flagged as anomalous." in told
    assert "1 recording was set aside." in told


def test_section_tells_engine_promise_and_what_was_observed(page: Page) -> None:
    told = page.text
    assert "fan · 3호기 팬" in told
    assert "memory_bank (B) on logmel embeddings" in told
    assert "version 7c1f09ab, fitted on package 2024-05-first" in told
    assert "at most 10 % of normal recordings ring" in told
    assert (
        "of 40 normal recordings the model had not seen, 3 would have rung "
        "(7.5 %, 95 % interval 1.6-20.4 %); agrees with the promise" in told
    )
    assert "27 of 65" in told
    assert "source 0.983 target 0.912 partial 0.847" in told


def test_section_without_labels_says_so() -> None:
    told = Page(render_report(report(unlabelled()))).text
    assert "no labels" in told
    assert "no labelled normal recordings to check it on" in told
    assert "source 0." not in told


def test_section_that_cannot_be_scored_tells_why_and_has_no_figure() -> None:
    page = Page(render_report(report(cannot_score())))
    assert "Why it cannot be scored: 1 normal clip; at least 2 are needed." in page.text
    assert "0 of 1 machine could be scored." in page.text
    assert not page.all("img")


def test_top_clips_show_score_severity_and_decision(page: Page) -> None:
    assert "flagged as anomalous score 3.25 , threshold 2.31 severity 81 of 100 label: anomaly" in page.text
    bar = [attributes for attributes in page.all("rect") if attributes["width"] == "81.0"]
    assert len(bar) == 1


def test_severity_bar_stays_inside_its_frame() -> None:
    page = Page(render_report(report(scored(top=(noise_clip(severity=140.0),)))))
    assert {attributes["width"] for attributes in page.all("rect")} == {"100", "100.0"}


def test_problems_parameters_and_versions_are_told(page: Page) -> None:
    told = page.text
    assert told.index("Not a date.") < told.index("Unknown column."), "errors stand before warnings"
    for fact in ("7", "recorded_at", "May", "Write 2024-05-31.", "false_alarm_rate: 0.1", "alp 0.1.0"):
        assert fact in told
    assert len(page.all("details")) == 1
    assert "AUC, harmonic mean 0.947 F1 –" in told


def test_package_without_sections_problems_or_set_aside_recordings() -> None:
    page = Page(render_report(report(set_aside=(), problems=[], metrics_overall={}, versions={})))
    assert page.misnested == []
    assert "No machine came out of this package." in page.text
    assert "every recording was accepted" in page.text
    assert "None were found." in page.text


def test_hostile_text_is_only_text() -> None:
    clip = noise_clip(clip_id=HOSTILE, recording=HOSTILE, label=HOSTILE)
    section = scored(
        machine_type=HOSTILE, section_id=HOSTILE, reason=HOSTILE, engine=HOSTILE, encoder=HOSTILE,
        top=(clip,), model_version=HOSTILE, model_origin=HOSTILE, promise_note=HOSTILE, metrics_note=HOSTILE,
    )  # fmt: skip
    row = RecordingRow(HOSTILE, 3, HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE), None, None, None, None)
    problem = Problem("error", HOSTILE, HOSTILE, row=2, column=HOSTILE, value=HOSTILE, file=HOSTILE)
    source = render_report(
        report(
            section, customer=HOSTILE, package=HOSTILE, received_at=HOSTILE, original_name=HOSTILE,
            sha256=HOSTILE, set_aside=(row,), problems=[problem], metrics_overall={HOSTILE: 1.0},
            parameters=HOSTILE + "</pre></details>", versions={HOSTILE: HOSTILE},
        )
    )  # fmt: skip
    page = Page(source)
    assert page.misnested == []
    assert not page.all("script")
    assert len(page.all("img")) == 2
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) > 20


def test_characters_that_no_file_can_hold_are_replaced() -> None:
    source = render_report(report(original_name="bad\udce9\x00name.zip"))
    assert "bad\ufffd\ufffdname.zip" in source
    source.encode("utf-8")


def test_long_lists_are_cut_and_counted() -> None:
    row = report().set_aside[0]
    many = tuple(replace(row, recording=f"r{n}.wav") for n in range(SET_ASIDE_SHOWN + 7))
    told = Page(render_report(report(set_aside=many))).text
    assert f"r{SET_ASIDE_SHOWN - 1}.wav" in told
    assert f"r{SET_ASIDE_SHOWN}.wav" not in told
    assert "7 further recordings" in told


def test_same_view_gives_the_same_page() -> None:
    first, second = (render_report(report(scored(), cannot_score())) for _ in range(2))
    assert first == second


def test_figures_are_the_same_in_another_process_and_need_no_pyplot() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import alp_assets.report.html, alp_assets.report.letter\n"
        "assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "import test_report as t\n"
        "figures = t.score_histogram(t.scored()) + t.spectrogram(t.noise_clip())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(figures)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    here = os.path.dirname(__file__)  # noqa: PTH120
    made = subprocess.run([sys.executable, "-c", code, here], env=environment, capture_output=True, check=True)
    assert made.stdout == score_histogram(scored()) + spectrogram(noise_clip())


def test_twenty_sections_with_three_clips_stay_under_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four different sections stand for twenty: each is drawn once and placed five times.
    monkeypatch.setattr(html, "spectrogram", cache(spectrogram))
    monkeypatch.setattr(html, "score_histogram", cache(score_histogram))
    sections = [
        scored(section_id=f"S{n}", top=tuple(noise_clip(10 * n + k, seconds=10.0) for k in range(3)))
        for n in range(4)
    ]
    page = Page(render_report(report(*sections * 5)))
    assert len(page.source.encode()) < 5_000_000
    assert len(page.all("img")) == 80


def test_histogram_is_svg_with_a_row_for_each_group_and_a_labelled_threshold() -> None:
    labels = ("normal",) * 30 + ("unknown",) * 10 + ("anomaly",) * 25
    svg = score_histogram(scored(test_labels=labels))
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    for words in (b"calibration", b"test, normal", b"test, anomaly", b"unlabelled", b"(n = 52)", b"(n = 10)"):
        assert words in svg
    assert b"threshold 2.31" in svg
    assert svg.count(b"<pattern") == 2, "normal and unlabelled differ from the plain groups in greyscale"
    assert b"test, anomaly" not in score_histogram(unlabelled())


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
        ElementTree.fromstring(score_histogram(section))


@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["linear", "log"])
def test_bars_never_straddle_the_threshold(scale: float) -> None:
    rng = np.random.default_rng(3)
    scores = np.r_[rng.gamma(9, 0.16, 40), scale * rng.gamma(14, 0.25, 9)]
    threshold = float(np.sort(scores)[30])
    edges, is_log = plots._edges(scores, threshold)
    assert is_log == (scale > 1)
    assert edges[0] <= scores.min()
    assert scores.max() <= edges[-1]
    counts = plots._counts(scores, edges, threshold)
    assert counts[edges[1:] > threshold * (1 + 1e-9)].sum() == (scores > threshold).sum() == 18
    assert counts.sum() == scores.size


def test_histogram_is_the_same_whatever_the_names_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score_histogram(scored(section_id="$\\frac{팬")) == score_histogram(scored(section_id="a"))


def test_spectrogram_shows_a_tone_at_its_frequency() -> None:
    time = np.arange(16_000 * 3) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 2_000 * time)).astype(np.float32)
    image = Image.open(io.BytesIO(spectrogram(noise_clip(samples=tone))))
    assert image.size == SPECTROGRAM_SIZE
    left, bottom, width, height = SPECTROGRAM_BOX
    grey = np.asarray(image.convert("L"), dtype=float)
    box = grey[SPECTROGRAM_SIZE[1] - bottom - height : SPECTROGRAM_SIZE[1] - bottom, left : left + width]
    loudest = height - 0.5 - float(box[2:-2, 5:-5].mean(axis=1).argmax()) - 2
    assert loudest / height * 8_000 == pytest.approx(2_000, abs=150)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.empty(0), np.ones(10), np.full(2_000, np.nan)],
    ids=["silence", "empty", "very short", "not finite"],
)
def test_spectrogram_of_odd_clips(samples: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = spectrogram(noise_clip(samples=samples.astype(np.float32)))
    assert Image.open(io.BytesIO(png)).size == SPECTROGRAM_SIZE


def test_words_on_the_promise() -> None:
    too_few = scored(promise_supported=False)
    assert text.promise(too_few) == "at most 10 % of normal recordings ring; so few normals support no lower rate"
    assert text.kept(scored(observed_interval=(0.2, 0.4))) == "more than promised"
    assert text.kept(scored(observed_interval=(0.0, 0.05))) == "fewer than promised"
    assert text.kept(unlabelled()) == ""
    one = scored(observed_normals=1, observed_false_alarms=0, observed_interval=None)
    assert text.observed(one) == "of 1 normal recording the model had not seen, 0 would have rung (0 %)"


def test_views_refuse_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="differ in number"):
        scored(test_labels=("normal",))
    with pytest.raises(ValueError, match="'alarm' is none of"):
        scored(test_decisions=("alarm",) * 65)
    with pytest.raises(ValueError, match="'ok' is none of"):
        scored(test_labels=("ok",) * 65)
    with pytest.raises(ValueError, match="'alarm' is none of"):
        noise_clip(decision="alarm")
