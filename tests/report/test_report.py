"""The report as a page: complete, self-contained, escaped, the same twice; and its figures."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import warnings
from base64 import b64decode
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
from alp_assets.report.model import (
    CauseView,
    ClipOpinion,
    ClipView,
    HeardView,
    KpiView,
    OpinionView,
    RecordingRow,
    ReportView,
    SectionView,
)
from alp_assets.report.plots import (
    MAP_HEIGHT,
    SPECTROGRAM_BOX,
    SPECTROGRAM_SIZE,
    picture_size,
    score_histogram,
    spectrogram,
)
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

    def badges(self, look: str) -> list[str]:
        """The words in badges of a look."""
        return re.findall(rf'class="badge {look}">([^<]*)<', self.source)

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
        "state": "CRITICAL",
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
        "policy": "alarms_per_day",
        "persistence": (3, 6),
        "alarms_per_day": 1.0,
        "states": {"NORMAL": 38, "WARNING": 20, "CRITICAL": 7},
    }
    return SectionView(**{**values, **changes})


def explained_clip(seed: int = 0, **changes: Any) -> ClipView:
    """A clip with all that may be known beside its score."""
    values = {
        "opinions": (
            ClipOpinion("isolation_forest", 0.61, 0.55, 58.0, "WARNING", "anomaly"),
            ClipOpinion("autoencoder", 1.2, 2.4, 21.0, "NORMAL", "normal"),
        ),
        "causes": (
            CauseView(
                "isolation_forest",
                "Bearing damage: regular impacts",
                "Check lubrication.",
                14.23,
                8.1,
                "dB at 120 Hz",
            ),
        ),
        "anomaly_map": np.random.default_rng(seed).gamma(4, 0.2, (12, 101)),
    }
    return noise_clip(seed, **{**values, **changes})


def judged(**changes: Any) -> SectionView:
    """A section with a KPI, its hearing, second opinions and evidence."""
    values = {
        "kpi": KpiView("cannot be shown", "AUC: 0.958 (95% interval 0.905 to 0.984); at least 0.95 was agreed."),
        "extrapolated": True,
        "hears": (
            HeardView("impulse_burst", None, ((12.0, 0.375),), 8),
            HeardView("band_tone", -6.0, ((12.0, 1.0), (6.0, 1.0), (0.0, 1.0), (-6.0, 1.0), (-12.0, 0.625)), 8),
            HeardView("dropout", -12.0, ((-18.0, 1.0), (-12.0, 1.0), (-6.0, 0.5)), 8),
        ),
        "opinions": (
            OpinionView("isolation_forest", 31, 0.55, 0.871),
            OpinionView("autoencoder", 4, 2.4, None),
            OpinionView("meta_prototype", problem="no condition takes two values."),
        ),
        "top": (explained_clip(),),
    }
    return scored(**{**values, **changes})


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
        policy="",
        persistence=None,
        alarms_per_day=None,
        states={},
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


@pytest.fixture(scope="module")
def page_of_all() -> Page:
    return Page(render_report(report(judged())))


@pytest.mark.parametrize(("which", "tables"), [("page", 3), ("page_of_all", 5)])
def test_page_is_well_formed_and_accessible(which: str, tables: int, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    assert page.misnested == []
    assert page.stack == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.all("a")]
    assert {f"#{name}" for name in ids} >= set(targets)
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) == tables
    assert all(attributes.get("role") == "table" for attributes in page.all("table"))
    assert all(attributes.get("role") == "cell" for attributes in page.all("td"))
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))


@pytest.mark.parametrize("which", ["page", "page_of_all"])
def test_page_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
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
    assert "about 10 % of normal clips are above the threshold" in told
    assert (
        "of 40 normal clips the model had not seen, 3 were above it "
        "(7.5 %, 95 % interval 1.6-20.4 %); agrees with the promise" in told
    )
    assert "27 of 65" in told
    assert "source 0.983 target 0.912 partial 0.847" in told


def test_section_without_labels_says_so() -> None:
    told = Page(render_report(report(unlabelled()))).text
    assert "no labels" in told
    assert "no labelled normal clips to check it on" in told
    assert "source 0." not in told


def test_section_that_cannot_be_scored_tells_why_and_has_no_figure() -> None:
    page = Page(render_report(report(cannot_score())))
    assert "Why it cannot be scored: 1 normal clip; at least 2 are needed." in page.text
    assert "0 of 1 machine could be scored." in page.text
    assert not page.all("img")


def test_top_clips_show_score_severity_and_decision(page: Page) -> None:
    told = "CRITICAL flagged as anomalous score 3.25 , threshold 2.31 severity 81 of 100 label: anomaly"
    assert told in page.text
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
    clip = noise_clip(
        clip_id=HOSTILE, recording=HOSTILE, label=HOSTILE,
        opinions=(ClipOpinion(HOSTILE, 1.0, 2.0, 3.0, "NORMAL", "normal"),),
        causes=(CauseView(HOSTILE, HOSTILE, HOSTILE, 1.0, 2.0, HOSTILE),),
    )  # fmt: skip
    section = scored(
        kpi=KpiView("met", HOSTILE), policy=HOSTILE, hears=(HeardView(HOSTILE, None, ((0.0, 0.5),), 8),),
        opinions=(OpinionView(HOSTILE, problem=HOSTILE),),
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
    assert page.text.count(HOSTILE) > 30


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
        "figures = t.score_histogram(t.scored()) + t.spectrogram(t.explained_clip())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(figures)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    here = os.path.dirname(__file__)  # noqa: PTH120
    made = subprocess.run([sys.executable, "-c", code, here], env=environment, capture_output=True, check=True)
    assert made.stdout == score_histogram(scored()) + spectrogram(explained_clip())


def test_twenty_sections_with_three_clips_stay_under_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four different sections stand for twenty: each is drawn once and placed five times.
    monkeypatch.setattr(html, "spectrogram", cache(spectrogram))
    monkeypatch.setattr(html, "score_histogram", cache(score_histogram))
    sections = [
        judged(section_id=f"S{n}", top=tuple(explained_clip(10 * n + k, seconds=10.0) for k in range(3)))
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
    above = "10 % of normal clips are above the threshold"
    assert text.promise(too_few) == f"about {above}; the normals are too few for what was asked"
    assert text.promise(scored(policy="conformal")) == f"at most {above}"
    assert "if a curve" in text.promise(scored(extrapolated=True))
    assert text.promise(scored(promised_false_alarm_rate=1 / 8640)).startswith("about 0.012 % of")
    assert text.kept(scored(observed_interval=(0.2, 0.4))) == "more than promised"
    assert text.kept(scored(observed_interval=(0.0, 0.05))) == "fewer than promised"
    assert text.kept(unlabelled()) == ""
    one = scored(observed_normals=1, observed_false_alarms=0, observed_interval=None)
    assert text.observed(one) == "of 1 normal clip the model had not seen, 0 were above it (0 %)"


@pytest.mark.parametrize(
    ("alarms", "words"),
    [
        (None, ""),
        (0.0, "less than one false alarm in 10 years"),
        (0.02, "about one false alarm in 50 days"),
        (0.6, "about 0.6 false alarms a day"),
        (1.0, "about 1 false alarm a day"),
        (2.34, "about 2.3 false alarms a day"),
        (1234.5, "about 1,234 false alarms a day"),
    ],
)
def test_words_on_how_often_the_alarm_is_expected(alarms: float | None, words: str) -> None:
    assert text.expected_alarms(scored(alarms_per_day=alarms)) == words


def test_alarm_rule_counts_clips_where_one_is_not_enough() -> None:
    assert text.alarm_rule(scored(persistence=None)) == "the alarm rings at every clip above the threshold"
    assert "when 3 of the last 6 clips are above" in text.alarm_rule(scored(persistence=(3, 6)))
    assert "when 6 clips in a row are above" in text.alarm_rule(scored(persistence=(6, 6)))


def test_only_an_extrapolated_promise_is_marked_as_one() -> None:
    marked, plain = (Page(render_report(report(scored(extrapolated=value)))) for value in (True, False))
    assert marked.badges("warn").count("extrapolated") == 3, "in the table, at the threshold and at the promise"
    assert "extrapolated" not in plain.text


@pytest.mark.parametrize(
    ("status", "look"), [("met", "good"), ("not met", "strong"), ("cannot be shown", "dashed")]
)
def test_verdict_on_the_agreed_kpi_is_a_badge_and_a_sentence(status: str, look: str) -> None:
    sentence = "AUC: 0.958; at least 0.95 was agreed."
    page = Page(render_report(report(scored(kpi=KpiView(status, sentence)), cannot_score())))
    assert page.badges(look).count(f"KPI {status}") == 2, "in the table and over the section"
    assert f"Agreed KPI {status.capitalize()}. {sentence}" in page.text
    assert page.text.count("The agreed KPI is") == 1


def test_headline_counts_what_was_agreed_by_verdict() -> None:
    statuses = ("met", "cannot be shown", "cannot be shown")
    told = Page(render_report(report(*(scored(kpi=KpiView(status, "")) for status in statuses)))).text
    assert "The agreed KPI is met by 1, not met by 0 and cannot be shown for 2 of 3 scored machines." in told
    one = Page(render_report(report(scored(kpi=KpiView("cannot be shown", "")), cannot_score()))).text
    assert "is met by 0, not met by 0 and cannot be shown for 1 of 1 scored machine." in one


def test_states_are_counted_and_told_apart(page: Page) -> None:
    assert "NORMAL 38 WARNING 20 CRITICAL 7" in page.text
    assert "27 of 65 20 WARNING 7 CRITICAL" in page.text
    assert "CRITICAL from 75 of 100" in page.text
    clips = (noise_clip(state="WARNING"), noise_clip(1, state="NORMAL", decision="normal"))
    told = Page(render_report(report(scored(top=clips, states={}))))
    assert told.badges("warn") == ["WARNING"]
    assert "NORMAL not flagged" in told.text


def test_what_the_model_would_hear_is_told_in_words(page_of_all: Page) -> None:
    told = page_of_all.text
    assert "in 8 normal clips" in told
    assert "the threshold catches all 8 clips" in told
    assert "something loose strikes not at any level tried +12 dB 3 of 8" in told
    assert "-6 dB 0.5 times as strong as the machine's own sound +12 dB 8 of 8 +6 dB" in told
    assert "-12 dB 25 % of the machine's sound is left -18 dB 8 of 8 -12 dB 8 of 8 -6 dB 4 of 8" in told
    assert "held-out" not in told, "how many were tried is not known"
    assert text.strength("band_tone", 0.0) == "as strong as the machine's own sound"
    assert text.fault("sand_in_gear") == "sand in gear"
    full = [attributes for attributes in page_of_all.all("svg") if attributes["aria-label"] == "100 % caught"]
    assert len(full) == 6


def hearing(clips: int, tried: int | None, why: str = "", **changes: Any) -> str:
    shares = ((12.0, 1.0),) if clips else ()
    heard = HeardView("band_tone", 12.0 if clips else None, shares, clips, tried, why)
    return Page(render_report(report(scored(hears=(heard,), **changes)))).text


def test_hearing_tells_what_was_above_without_a_fault() -> None:
    assert "2 of 3 held-out normals were above the threshold as they are and were left out." in hearing(1, 3)
    assert "1 of 3 held-out normals was above the threshold as it is and was left out." in hearing(2, 3)
    assert "None of 3 held-out normals was above the threshold as it is." in hearing(3, 3)
    assert "the threshold catches the one clip that was tried" in hearing(1, 3)
    assert "the threshold catches 19 of 20 clips" in hearing(20, 20)


def test_hearing_tells_that_an_alarm_needs_several_clips() -> None:
    sentence = "A clip caught this way is flagged; the alarm needs 3 of 6 such clips."
    assert sentence in hearing(3, 3, persistence=(3, 6))
    assert "such clips" not in hearing(3, 3, persistence=None)


def test_hearing_that_could_not_be_measured_says_why() -> None:
    told = hearing(0, 3, "nothing could be measured: all 3 held-out normals were above", persistence=(3, 6))
    assert "would hear Nothing could be measured: all 3 held-out normals were above." in told
    assert "Made-up" not in told
    assert "such clips" not in told
    assert "no held-out normal clip was below" in hearing(0, None)
    none = Page(render_report(report(scored(hears=())))).text
    assert "would hear It was not measured when this model was made." in none


def test_threshold_is_beyond_every_normal_only_where_it_is() -> None:
    words = "beyond every normal clip heard"
    far, near = (
        Page(
            render_report(
                report(scored(extrapolated=True, threshold=2.0, calibration_scores=np.array([1.0, top])))
            )
        )
        for top in (1.5, 9.0)
    )
    assert words in far.text
    assert words not in near.text
    assert "A fitted tail set it: its promise is a guess until more normals come." in near.text


def test_second_opinions_stand_beside_the_decision(page_of_all: Page) -> None:
    told = page_of_all.text
    assert "isolation_forest (L1) 31 of 65 0.55 0.871 autoencoder (L2) 4 of 65 2.4 –" in told
    assert "meta_prototype (C) no opinion: no condition takes two values." in told
    assert "isolation_forest (L1) : flags it too; WARNING severity 58, score 0.61, threshold 0.55" in told
    assert "autoencoder (L2) : does not flag it; NORMAL severity 21" in told


def test_second_opinion_that_is_not_shared_or_could_not_be_had() -> None:
    alone = ClipOpinion("isolation_forest", 0.61, 0.55, 58.0, "WARNING", "anomaly")
    silent = ClipOpinion("autoencoder", float("nan"), 0.55, float("nan"), "", "normal")
    clip = noise_clip(decision="normal", state="NORMAL", opinions=(alone, silent))
    told = Page(render_report(report(scored(top=(clip,))))).text
    assert "isolation_forest (L1) : flags it; WARNING" in told
    assert "autoencoder (L2) : could not score it" in told


def test_possible_causes_come_with_what_to_do_and_the_figures(page_of_all: Page) -> None:
    assert (
        "Bearing damage: regular impacts Check lubrication. Measured 14.23 against a limit of 8.1 dB at 120 Hz, "
        "by the rules of isolation_forest (L1)." in page_of_all.text
    )


def test_sections_of_which_little_is_known_say_no_more_than_that() -> None:
    told = Page(render_report(report(scored(kpi=None, states={}, alarms_per_day=None), cannot_score()))).text
    for words in ("KPI", "States", "Made-up", "Second opinion", "Lower picture", "expected of", "Measured 14"):
        assert words not in told


def pixels(clip: ClipView) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(spectrogram(clip))).convert("RGB"), dtype=float)


def darkest_time(clip: ClipView) -> tuple[float, float]:
    """Where in the map's picture it is darkest: shares of its width and, from below, of its height."""
    left, bottom, width, _ = SPECTROGRAM_BOX
    image = pixels(clip)
    lowest = len(image) - bottom
    box = image[lowest - MAP_HEIGHT + 2 : lowest - 2, left + 2 : left + width - 2].sum(axis=2)
    down, across = np.nonzero(box == box.min())
    return across.mean() / box.shape[1], 1 - down.mean() / box.shape[0]


@pytest.mark.parametrize(("seconds", "share"), [(10.0, 0.3), (4.0, 0.75)], ids=["whole", "only what was recorded"])
def test_anomaly_map_lies_under_the_sound_in_time(seconds: float, share: float) -> None:
    found = np.random.default_rng(0).gamma(4, 0.05, (12, 100))
    found[2, 28:32] = found[2, 95:] = 5.0  # band 2 of 12 at 3 s, and in what was only repeated
    if seconds == 10.0:
        found[2, 95:] = 0.0
    across, up = darkest_time(noise_clip(seconds=seconds, anomaly_map=found))
    assert across == pytest.approx(share, abs=0.02)
    assert up == pytest.approx(2.5 / 12, abs=0.03)


def test_picture_with_a_map_is_taller_and_the_page_knows_its_size(page_of_all: Page) -> None:
    clip = explained_clip()
    assert picture_size(clip)[1] > picture_size(noise_clip())[1] == SPECTROGRAM_SIZE[1]
    pictures = [item for item in page_of_all.all("img") if str(item["src"]).startswith("data:image/png")]
    drawn = Image.open(io.BytesIO(b64decode(str(pictures[0]["src"]).partition(",")[2])))
    assert drawn.size == picture_size(clip) == (int(str(pictures[0]["width"])), int(str(pictures[0]["height"])))
    assert "where it differs from normal clips" in str(pictures[0]["alt"])
    assert "the darker, the more" in page_of_all.text
    assert "not the moment" not in page_of_all.text


def test_map_without_time_says_that_it_has_none() -> None:
    told = Page(render_report(report(scored(top=(noise_clip(anomaly_map=np.arange(64.0)[:, None]),))))).text
    assert "tells the pitch that differs, not the moment" in told


@pytest.mark.parametrize(
    "found",
    [np.zeros((12, 101)), np.full((12, 101), np.nan), np.ones((1, 1)), np.eye(3, dtype=np.float32) * 1e9],
    ids=["nothing differs", "not a number", "one cell", "huge"],
)
def test_odd_anomaly_maps(found: np.ndarray) -> None:
    clip = noise_clip(anomaly_map=found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Image.open(io.BytesIO(spectrogram(clip))).size == picture_size(clip)


def test_views_refuse_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="differ in number"):
        scored(test_labels=("normal",))
    with pytest.raises(ValueError, match="'alarm' is none of"):
        scored(test_decisions=("alarm",) * 65)
    with pytest.raises(ValueError, match="'ok' is none of"):
        scored(test_labels=("ok",) * 65)
    with pytest.raises(ValueError, match="'alarm' is none of"):
        noise_clip(decision="alarm")
    with pytest.raises(ValueError, match="'severe' is none of"):
        noise_clip(state="severe")
    with pytest.raises(ValueError, match="'severe' is none of"):
        scored(states={"severe": 3})
    with pytest.raises(ValueError, match="'perhaps' is none of"):
        KpiView("perhaps", "")
    with pytest.raises(ValueError, match=r"\(101,\), not \(bands, time\)"):
        noise_clip(anomaly_map=np.ones(101))
