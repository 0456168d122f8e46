"""The report as a page: complete, in two languages, self-contained, escaped, small, the same twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest

from alp_assets.report import charts, html, sentences, sound
from alp_assets.report.advice import advice
from alp_assets.report.browser import find_browser, print_pdf
from alp_assets.report.html import SET_ASIDE_SHOWN, render_report
from alp_assets.report.model import (
    CauseView,
    ClipOpinion,
    ClipView,
    Effect,
    HeardView,
    KpiView,
    OpinionView,
    Point,
    PromiseView,
    RecordingRow,
    ReportView,
    SectionView,
    Supply,
)
from alp_assets.report.words import Words, known, listed, same, say
from schemas.problems import Problem
from schemas.texts import read_texts

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;$\\frac{ {0} §0§"
VOID = {"meta", "br", "img", "input"}


@dataclass
class Page(HTMLParser):
    """A parsed page: elements with their attributes, texts by language, and whether all tags close in order."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    stack: list[tuple[str, str | None]] = field(default_factory=list)
    misnested: list[str] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=lambda: {"en": [], "ko": []})

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            language = dict(attrs).get("lang") if tag in ("span", "text") else None
            self.stack.append((tag, language))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop()[0] != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.stack or self.stack[-1][0] in ("style", "script", "title"):
            return
        languages = {language for _, language in self.stack if language}
        for name, words in self.words.items():
            if languages <= {name}:
                words.append(data)

    def text(self, language: str = "en") -> str:
        return re.sub(r" (?=[.,;:](?: |$))", "", " ".join(" ".join(self.words[language]).split()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def noise_clip(seed: int = 0, seconds: float = 2.0, **changes: Any) -> ClipView:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32)
    values = {
        "clip_id": f"clip_{seed}",
        "recording": f"audio/rec_{seed}.wav",
        "path": f"audio/{seed:06d}.wav",
        "score": 3.25,
        "threshold": 2.31,
        "severity": 81.0,
        "decision": "anomaly",
        "label": "anomaly",
        "samples": samples,
        "sample_rate": 16_000,
        "state": "CRITICAL",
        "recorded_at": datetime(2024, 6, 1, 9, 30),
        "anomaly_map": np.random.default_rng(seed).gamma(4, 0.2, (12, 101)),
    }
    return ClipView(**{**values, **changes})


def explained_clip(seed: int = 0, **changes: Any) -> ClipView:
    """A clip with all that may be known beside its score."""
    cause = CauseView(
        "isolation_forest", Words("Bearing damage", "베어링 손상"), Words("Check it.", "점검하십시오."),
        14.23, 8.1, "dB at 120 Hz", "critical",
    )  # fmt: skip
    opinions = (
        ClipOpinion("isolation_forest", 0.61, 0.55, 58.0, "WARNING", "anomaly"),
        ClipOpinion("autoencoder", 1.2, 2.4, 21.0, "NORMAL", "normal"),
    )
    return noise_clip(seed, **{"opinions": opinions, "causes": (cause,), **changes})


def points(n: int = 60) -> tuple[Point, ...]:
    rng = np.random.default_rng(5)
    start = datetime(2024, 5, 1, 8)
    kinds = [
        ("train", "normal"),
        ("test", "normal"),
        ("test", "anomaly"),
        ("test", "unknown"),
        ("supplemental", "noise"),
    ]
    return tuple(
        Point(
            f"p{k}", *(kinds[k % 5][0], ("source", "target")[k % 2], kinds[k % 5][1]),
            start + timedelta(hours=k), None if k % 5 == 4 else float(rng.gamma(9, 0.2)),
            (float(rng.normal()), float(rng.normal())),
        )
        for k in range(n)
    )  # fmt: skip


PROMISE = PromiseView(0.1, 0.000116, True, False, "alarms_per_day", {"source": 40, "target": 12})
KPI = KpiView("cannot be shown", "auc", 0.95, 0.958, 0.905, 0.984, {"normal": 30, "anomaly": 45})


def scored(**changes: Any) -> SectionView:
    rng = np.random.default_rng(1)
    values = {
        "machine_type": "fan",
        "section_id": "3호기",
        "state": "scored",
        "reason": "said by the stage",
        "engine": "memory_bank",
        "encoder": "logmel",
        "model_version": "7c1f09ab",
        "model_origin": "2024-05-first",
        "normals_source": 40,
        "normals_target": 12,
        "threshold": 2.31,
        "promise": PROMISE,
        "observed_false_alarms": 3,
        "observed_normals": 40,
        "observed_interval": (0.01574, 0.20386),
        "auc": 0.958,
        "auc_source": 0.9834,
        "auc_target": 0.912,
        "pauc": 0.8471,
        "calibration_scores": rng.gamma(9, 0.16, 52),
        "test_scores": np.r_[rng.gamma(9, 0.16, 40), rng.gamma(14, 0.25, 25)],
        "test_labels": ("normal",) * 40 + ("anomaly",) * 25,
        "test_decisions": ("normal",) * 38 + ("anomaly",) * 27,
        "top": (explained_clip(),),
        "why": "enough_target",
        "persistence": (3, 6),
        "alarms_per_day": 1.0,
        "kpi": KPI,
        "states": {"NORMAL": 38, "WARNING": 20, "CRITICAL": 7},
        "hears": (
            HeardView("impulse_burst", None, ((12.0, 0.375),), 8, 8),
            HeardView("band_tone", -6.0, ((12.0, 1.0), (0.0, 1.0), (-6.0, 1.0), (-12.0, 0.625)), 8, 8),
            HeardView("dropout", -12.0, ((-18.0, 1.0), (-12.0, 1.0), (-6.0, 0.5)), 8, 8),
        ),
        "opinions": (
            OpinionView("isolation_forest", 31, 0.55, 0.871),
            OpinionView("meta_prototype", problem="no condition takes two values."),
        ),
        "points": points(),
        "spread": (0.41, 0.2),
        "effects": (
            Effect("mic_position_id", "near", 20, 1.2, -0.2, 0.5),
            Effect("mic_position_id", "far", 20, 1.9, 0.3, 0.0004),
            Effect("domain", "target", 3, 1.4, 0.1, None),
        ),
        "supply": Supply(2, 3, {"mic_position_id": 2, "speed_level": 3}),
    }
    return SectionView(**{**values, **changes})


NO_FIGURES = dict.fromkeys(
    ("observed_false_alarms", "observed_normals", "observed_interval", "auc", "auc_source", "auc_target", "pauc")
)


def unlabelled(**changes: Any) -> SectionView:
    kpi = KpiView("cannot be shown", "auc", 0.95, more_clips={"normal": 60, "anomaly": 60})
    values = {**NO_FIGURES, "test_labels": ("unknown",) * 65, "kpi": kpi, "section_id": "P-07", "top": ()}
    return scored(**{**values, "machine_type": "pump", **changes})


def failed(**changes: Any) -> SectionView:
    nothing = dict.fromkeys(("engine", "encoder", "model_version", "model_origin", "threshold", "promise", "kpi"))
    values = {
        **NO_FIGURES, **nothing, "section_id": "V2", "machine_type": "valve", "state": "cannot_score",
        "reason": "only 1 normal clip", "why_not": "too_few_normals", "normals_source": 0, "normals_target": 1,
        "calibration_scores": np.empty(0), "test_scores": np.empty(0), "test_labels": (), "test_decisions": (),
        "persistence": None, "alarms_per_day": None, "states": {}, "hears": (), "opinions": (), "top": (),
        "points": (), "spread": None, "effects": (), "supply": Supply(),
    }  # fmt: skip
    return scored(**{**values, **changes})


def report(*sections: SectionView, **changes: Any) -> ReportView:
    aside = RecordingRow(
        "audio/quiet.wav", 12, "pump", "P-07", "set aside", (Words("97% silent.", "97%가 무음입니다."),),
        12.0, 16_000, 1, -91.2,
    )  # fmt: skip
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
        "set_aside": (aside,),
        "problems": [
            Problem.said("warning", "Unknown column.", "Remove it.", column="memo"),
            Problem.said("error", "Not a date.", "Write 2024-05-31.", row=7, column="recorded_at", value="May"),
        ],
        "sections": sections,
        "parameters": "decision:\n  false_alarm_rate: 0.1\n",
        "versions": {"alp": "0.1.0"},
    }
    return ReportView(**{**values, **changes})


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_report(report(scored(), unlabelled(), failed())))


def test_both_languages_have_the_same_texts_and_gaps() -> None:
    english, korean = (dict(_flat(read_texts("report", name))) for name in ("en", "ko"))
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert _gaps(text) == _gaps(korean[key]), key
        assert korean[key].strip(), key
    assert sum(bool(re.search("[가-힣]", text)) for text in korean.values()) > 0.9 * len(korean)


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in table.items():
        found += [(before + name, value)] if isinstance(value, str) else _flat(value, f"{before}{name}.")
    return found


def _gaps(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_words_are_written_once_where_the_languages_agree() -> None:
    assert same("3.4 <b>").__html__() == "3.4 &lt;b&gt;"
    both = Words("fan", "팬").__html__()
    assert both == '<span lang="en">fan</span><span lang="ko">팬</span>'
    assert known("fault", "sand_in_gear") == same("sand in gear")
    assert listed([same("a"), same("b"), same("c")]) == Words("a, b and c", "a, b, c")
    assert listed([]) == Words("", "")
    with pytest.raises(KeyError):
        say("no.such.text")


def test_page_is_well_formed_and_accessible(page: Page) -> None:
    assert page.misnested == []
    assert page.stack == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for name, attributes in page.elements if name in ("a", "use")}
    assert {f"#{name}" for name in ids} >= targets
    used = set(re.findall(r"url\(#([^)]+)\)", page.source))
    assert used <= set(ids), "what is clipped or hatched finds its shape"
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("role") == "table" for attributes in page.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") for attributes in page.all("svg"))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_page_loads_nothing_and_lets_no_other_script_run(page: Page) -> None:
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert "@import" not in page.source
    assert ":has(" not in page.source, "of twenty sections it takes minutes to print"
    assert not page.all("link")
    assert len(page.all("script")) == 1
    sources = [str(attributes["src"]) for name, attributes in page.elements if "src" in attributes]
    assert sources
    assert all(source.startswith(("data:image/png;", "data:audio/mpeg;")) for source in sources)
    script = re.search("<script>(.*)</script>", page.source, re.DOTALL)
    assert script is not None
    digest = b64encode(sha256(script[1].encode()).digest()).decode()
    policy = next(item["content"] for item in page.all("meta") if item.get("http-equiv"))
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_opens_in_the_language_that_was_asked_for(language: Any) -> None:
    opened = Page(render_report(report(scored()), language))
    assert opened.all("html")[0]["lang"] == language
    chosen = [
        item["value"] for item in opened.all("input") if item.get("name") == "language" and "checked" in item
    ]
    assert chosen == [language]
    title = re.search("<title[^>]*>(.*)</title>", opened.source)
    assert title is not None
    assert ("진단" in title[1]) == (language == "ko")
    assert all(bool(re.search("[가-힣]", item["alt"] or "")) == (language == "ko") for item in opened.all("img"))


def test_what_a_plant_manager_needs_comes_first(page: Page) -> None:
    told = page.text()
    order = [
        "2 of 3 machines are being watched",
        "How to read",
        "at a glance",
        "Each machine",
        "What was received",
    ]
    places = [told.index(heading) for heading in order]
    assert places == sorted(places)
    first = told[: told.index("Each machine")]
    for fact in (
        "54 of 130 tested clips sound unlike",
        "Watched, not yet proven",
        "Not watched",
        "27 of 65 test clips are unusual",
        "Promised: about one false alarm a day.",
        "Of 40 normal clips that the model had not heard, 3 were above the threshold "
        "(7.5%; with 95% confidence 1.6% to 20.4%). This agrees with the promise.",
        "95.8 of 100 cases (95% confidence: 90.5 to 98.4). Agreed: at least 95.",
        "Knocks: not reliably",
        "Whistle: 0.5 times as loud as the machine",
        "Faltering: 25% of its own sound left",
        "there are enough current normal clips to remember (40 earlier, 12 current)",
        "There is only 1 normal clip of this machine; at least 2 are needed.",
        "Label more test clips: 30 more test clips labelled normal and 45 more test clips labelled anomalous",
    ):
        assert fact in first, fact
    assert "AUC" not in first
    assert "ROC" not in first


def test_korean_page_says_the_same(page: Page) -> None:
    told = page.text("ko")
    for fact in (
        "설비 3대 중 2대를 감시하고 있습니다.",
        "팬(송풍기) · 3호기",
        "감시 중, 아직 미입증",
        "모델이 들은 적 없는 정상 클립 40개 중 3개가 임계값을 넘었습니다",
        "100번 중 95.8번",
        "두드림: 확실히 듣지 못함",
        "정상 클립이 1개뿐입니다",
        "베어링 손상",
        "97%가 무음입니다.",
        "점수를 높임",
    ):
        assert fact in told, fact
    english = re.findall(r"\b(?:the|of|and|is|are|was|were)\b", told)
    assert not english, "no English sentence is left"


def test_section_tells_all_its_figures(page: Page) -> None:
    told = page.text()
    for fact in (
        "memory_bank (B), on logmel embeddings",
        "version 7c1f09ab, learnt from package 2024-05-first",
        "About 10% of normal clips are expected above the threshold. "
        "The alarm rings when 3 of the last 6 clips are above it.",
        "too few for a firmer promise: 40 earlier recordings and 12 current recordings",
        "NORMAL 38 WARNING 20 CRITICAL 7",
        "AUC 0.958 source 0.983 target 0.912 partial AUC 0.847",
        "far 20 1.9 30% nearer to the threshold raises the scores",
        "near 20 1.2 20% farther from the threshold no clear effect",
        "today's conditions 3 1.4 10% nearer to the threshold too few clips to tell",
        "all 8 clips are above the threshold",
        "isolation_forest (L1) 31 of 65 0.55 0.871",
        "no opinion: no condition takes two values.",
        "CRITICAL unusual score 3.25, threshold 2.31 severity 81 of 100 label: anomaly",
        "finds it unusual too; WARNING severity 58, score 0.61, threshold 0.55",
        "Bearing damage (critical) Check it. Measured 14.23 against a limit of 8.1 dB at 120 Hz",
        "(they hold 41% and 20% of all differences)",
    ):
        assert fact in told, fact


def test_section_without_labels_says_so() -> None:
    told = Page(render_report(report(unlabelled()))).text()
    assert "test clips labelled normal and anomalous are missing" in told
    assert "At least 60 more test clips labelled normal and 60 more" in told
    assert "There are no labelled normal test clips to check it on." in told
    assert "How well faults and normal sounds are told apart" not in told


def test_package_in_which_every_section_failed_is_a_whole_page() -> None:
    sections = (
        failed(),
        failed(section_id="V3", why_not="no_normals", normals_target=0),
        failed(section_id="V4", why_not="other", reason="cannot score: <b>not finite</b>", normals_target=9),
        failed(section_id="V5", why_not="damaged", points=points(4)),
    )
    page = Page(render_report(report(*sections)))
    told = page.text()
    assert page.misnested == []
    assert "None of the 4 machines can be watched yet." in told
    assert "There are no normal recordings of this machine yet." in told
    assert "as the system noted it: <b>not finite</b>" in told
    assert "Record 3 to 10 normal clips" in told
    assert "tested clips" not in told
    assert "agreed target is" not in told
    assert not page.all("img")
    assert "설비 4대 모두 아직 감시할 수 없습니다." in page.text("ko")


def test_package_without_sections_problems_or_set_aside_recordings() -> None:
    page = Page(render_report(report(set_aside=(), problems=[], versions={})))
    assert page.misnested == []
    assert "No machine came out of this package." in page.text()
    assert "every recording was accepted" in page.text()
    assert "None were found." in page.text()


def test_data_parameters_and_problems_are_told(page: Page) -> None:
    told = page.text()
    for fact in ("6월 녹음.zip", "700.0 MiB", "9f2b" * 16, "2024-06-03T09:12:44+09:00", "1,142", "3.17"):
        assert fact in told
    for fact in ("audio/quiet.wav", "97% silent.", "12.0 s", "16,000 Hz, 1 ch", "-91.2 dBFS"):
        assert fact in told
    assert told.index("Not a date.") < told.index("Unknown column."), "errors stand before warnings"
    for fact in ("recorded_at", "May", "Write 2024-05-31.", "false_alarm_rate: 0.1", "alp 0.1.0"):
        assert fact in told


def test_problems_with_texts_are_told_in_both_languages() -> None:
    code = "value_unknown"
    texts = read_texts("problems", "en")["problems"][code]
    values = {str(name): "x" for name in _gaps(" ".join(texts.values()))}
    place = {"column": "machine_type", "letter": "B", "header": "종류", "value": "toaster"}
    many = [Problem("error", code, values, row=row, **place) for row in (3, 4)]
    page = Page(render_report(report(problems=many)))
    for language in ("en", "ko"):
        assert many[0].told(language).problem in page.text(language)
        assert many[0].named_column(language) in page.text(language)
    assert many[0].named_column("ko") not in page.text("en")


def test_hostile_text_is_only_text() -> None:
    clip = noise_clip(
        clip_id=HOSTILE, recording=HOSTILE, path=HOSTILE,
        opinions=(ClipOpinion(HOSTILE, 1.0, 2.0, 3.0, "NORMAL", "normal"),),
        causes=(CauseView(HOSTILE, same(HOSTILE), same(HOSTILE), 1.0, 2.0, HOSTILE),),
    )  # fmt: skip
    section = scored(
        machine_type=HOSTILE, section_id=HOSTILE, reason=HOSTILE, why="other", engine=HOSTILE, encoder=HOSTILE,
        hears=(HeardView(HOSTILE, None, ((0.0, 0.5),), 8),), opinions=(OpinionView(HOSTILE, problem=HOSTILE),),
        top=(clip,), model_version=HOSTILE, model_origin=HOSTILE, left_out=(HOSTILE,),
        promise=replace(PROMISE, policy=HOSTILE), effects=(Effect("noise_id", HOSTILE, 9, 1.0, 0.5, 0.0),),
        points=tuple(replace(point, clip_id=HOSTILE) for point in points(9)),
    )  # fmt: skip
    row = RecordingRow(HOSTILE, 3, HOSTILE, HOSTILE, HOSTILE, (same(HOSTILE),) * 2, None, None, None, None)
    problem = Problem.said("error", HOSTILE, HOSTILE, row=2, column=HOSTILE, value=HOSTILE, file=HOSTILE)
    source = render_report(
        report(
            section, failed(why_not="other", reason=HOSTILE, section_id=HOSTILE), customer=HOSTILE,
            package=HOSTILE, received_at=HOSTILE, original_name=HOSTILE, sha256=HOSTILE, set_aside=(row,),
            problems=[problem], parameters=HOSTILE + "</pre></details>", versions={HOSTILE: HOSTILE},
        )
    )  # fmt: skip
    page = Page(source)
    assert page.misnested == []
    assert len(page.all("script")) == 1
    assert len(page.all("img")) == 2
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text().count(unescape(HOSTILE.replace("&", "&amp;"))) > 30


def test_characters_that_no_file_can_hold_are_replaced() -> None:
    source = render_report(report(original_name="bad\udce9\x00name.zip"))
    assert "bad\ufffd\ufffdname.zip" in source
    source.encode("utf-8")


def test_long_lists_are_cut_and_counted() -> None:
    row = report().set_aside[0]
    many = tuple(replace(row, recording=f"r{n}.wav") for n in range(SET_ASIDE_SHOWN + 7))
    told = Page(render_report(report(set_aside=many))).text()
    assert f"r{SET_ASIDE_SHOWN - 1}.wav" in told
    assert f"r{SET_ASIDE_SHOWN}.wav" not in told
    assert "7 further recordings" in told


def test_same_view_gives_the_same_page_in_any_process() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import alp_assets.report.html\n"
        "assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "import test_report as t\n"
        "page = t.render_report(t.report(t.scored(), t.failed()))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(page.encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    here = str(Path(__file__).parent)
    made = subprocess.run([sys.executable, "-c", code, here], env=environment, capture_output=True, check=True)
    assert made.stdout == render_report(report(scored(), failed())).encode()


def test_twenty_sections_stay_under_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two different sections stand for twenty: each picture is drawn once and placed ten times.
    for name in ("spectrogram", "audio"):
        monkeypatch.setattr(sound, name, _once_for_each_clip(getattr(sound, name)))
    for name in ("score_histogram", "roc", "timeline", "embedding_map"):
        monkeypatch.setattr(charts, name, _once(getattr(charts, name)))
    monkeypatch.setattr(html, "_thinned", _once(html._thinned))
    sections = [
        scored(
            section_id=f"S{n}",
            points=points(1_000),
            top=tuple(explained_clip(10 * n + k, seconds=10.0) for k in range(5)),
            effects=scored().effects * 6,
        )
        for n in range(2)
    ]
    source = render_report(report(*sections * 10))
    page = Page(source)
    assert len(source.encode()) < 5_000_000
    assert len(page.all("audio")) == html.MOST_SOUNDS
    assert len(page.all("img")) == 2 * html.MOST_CLIPS
    assert len(re.findall(r'<section class="section" id="section-', source)) == 20
    assert f"of {1_000:,} clips are drawn" in page.text()
    assert "There is no room for its sound in this file" in page.text()


def _once(draw: Any) -> Any:
    drawn: dict[int, tuple[Any, str]] = {}  # with what was drawn, so that its id is not given to another

    def known_or_drawn(first: Any, *rest: Any) -> str:
        if id(first) not in drawn:
            drawn[id(first)] = (first, draw(first, *rest))
        return drawn[id(first)][1]

    return known_or_drawn


def _once_for_each_clip(draw: Any) -> Any:
    drawn = cache(lambda data, rate: draw(np.frombuffer(data, np.float32), rate))
    return lambda samples, rate: drawn(samples.tobytes(), rate)


def test_sound_is_given_to_the_first_clips_of_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_SOUNDS", 4)
    assert html._heard([3, 0, 3]) == [2, 0, 2]
    assert html._heard([1, 5]) == [1, 3]


def test_thinning_keeps_the_highest_scores_and_the_order() -> None:
    many = points(400)
    kept = html._thinned(many, 100)
    assert len(kept) == 100
    assert [many.index(point) for point in kept] == sorted(many.index(point) for point in kept)
    highest = sorted((point.score or 0 for point in many), reverse=True)[:25]
    assert set(highest) <= {point.score for point in kept}
    assert html._thinned(many[:7], 100) == list(many[:7])


def test_clip_is_played_as_it_sounds() -> None:
    import io

    import soundfile as sf

    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)
    page = Page(render_report(report(scored(top=(noise_clip(samples=tone),)))))
    (player,) = page.all("audio")
    samples, rate = sf.read(io.BytesIO(b64decode(str(player["src"]).partition(",")[2])))
    assert rate == 16_000
    assert len(samples) / rate == pytest.approx(2, abs=0.2)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(440, abs=5)


def test_overlay_is_there_only_with_a_map_and_says_what_it_knows() -> None:
    plain = Page(render_report(report(scored(top=(noise_clip(anomaly_map=None),)))))
    assert len(plain.all("img")) == 1
    assert not [item for item in plain.all("input") if item.get("type") == "range"]
    pitch_only = Page(render_report(report(scored(top=(noise_clip(anomaly_map=np.arange(9.0)[:, None]),)))))
    assert "not the moment" in pitch_only.text()
    both = Page(render_report(report(scored())))
    assert "not the moment" not in both.text()
    assert len([item for item in both.all("input") if item.get("type") == "range"]) == 1


def test_text_too_long_for_its_cell_can_break() -> None:
    long = "가나다" * 400
    page = Page(render_report(report(scored(section_id=long), original_name=long)))
    assert long in page.text()
    assert "overflow-wrap: anywhere" in page.source


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="no browser is here")
def test_page_prints_in_its_language(tmp_path: Path) -> None:
    source, target = tmp_path / "page.html", tmp_path / "page.pdf"
    source.write_text(render_report(report(scored(), failed()), "ko"), encoding="utf-8")
    print_pdf(source, target)
    assert target.read_bytes().startswith(b"%PDF-")
    assert target.stat().st_size > 50_000


def test_words_on_the_promise() -> None:
    def told(**changes: Any) -> str:
        return sentences.promise(scored(promise=replace(PROMISE, **changes))).en

    assert told() == "About 10% of normal clips are expected above the threshold."
    assert told(policy="conformal").startswith("At most 10% of")
    assert "leans on a fitted curve" in told(supported=False)
    assert told(promised=1 / 8640).startswith("About 0.012% of")
    assert sentences.promise(failed()).en == "Nothing is promised."
    assert sentences.bearing(scored(promise=replace(PROMISE, asked=0.1))).en == ""


@pytest.mark.parametrize(
    ("interval", "words"),
    [((0.2, 0.4), "More than promised."), ((0.0, 0.05), "Fewer than promised."), (None, "")],
)
def test_observed_is_held_against_the_promise(interval: Any, words: str) -> None:
    assert sentences.observed(scored(observed_interval=interval)).en.endswith(words or "(7.5%).")


@pytest.mark.parametrize(
    ("alarms", "en", "ko"),
    [
        (None, "not known", "알 수 없음"),
        (0.0, "less than one false alarm in 10 years", "10년에 1회 미만"),
        (0.02, "about one false alarm in 50 days", "약 50일에 1회"),
        (0.6, "about 0.6 false alarms a day", "하루 약 0.6회"),
        (1.0, "about one false alarm a day", "약 하루에 1회"),
        (1234.5, "about 1,234 false alarms a day", "하루 약 1,234회"),
    ],
)
def test_words_on_how_often_the_alarm_is_expected(alarms: float | None, en: str, ko: str) -> None:
    assert sentences.expected_alarms(scored(alarms_per_day=alarms)) == Words(en, ko)


def test_alarm_rule_counts_clips_where_one_is_not_enough() -> None:
    assert sentences.alarm_rule(scored(persistence=None)).en == "The alarm rings at every clip above it."
    assert "when 6 clips in a row are above" in sentences.alarm_rule(scored(persistence=(6, 6))).en


@pytest.mark.parametrize(
    ("kpi", "words"),
    [
        (
            KpiView("met", "recall", 0.8, 0.9, 0.82, 0.97),
            "Of 100 faulty clips it flags 90 (95% confidence: 82 to 97).",
        ),
        (KpiView("not met", "alarms_per_day", 1.0, 4.0, 2.0, 9.5), "raises 4 false alarms a day"),
        (KpiView("cannot be shown", "pauc", 0.8, 0.8, 0.6, 0.9), "so near the target"),
        (KpiView("cannot be shown", "recall", 0.8), "at least 80 of 100 faulty clips are flagged"),
    ],
)
def test_words_on_what_was_agreed(kpi: KpiView, words: str) -> None:
    assert words in sentences.kpi(scored(kpi=kpi)).en


def test_threshold_is_beyond_every_normal_only_where_it_is() -> None:
    fitted = replace(PROMISE, extrapolated=True)
    far, near = (
        sentences.extrapolation(scored(promise=fitted, threshold=2.0, calibration_scores=np.array([1.0, top]))).en
        for top in (1.5, 9.0)
    )
    assert "beyond every normal clip heard" in far
    assert near.startswith("A fitted curve set the threshold")
    assert sentences.extrapolation(scored()).en == ""


def hearing(clips: int, tried: int | None, **changes: Any) -> SectionView:
    shares = ((12.0, 1.0),) if clips else ()
    return scored(hears=(HeardView("band_tone", 12.0 if clips else None, shares, clips, tried),), **changes)


def test_hearing_tells_what_was_above_without_a_fault() -> None:
    assert sentences.held_out(hearing(1, 3)).en.startswith("2 of 3 held-out normal clips were above")
    assert sentences.held_out(hearing(2, 3)).en.startswith("1 of 3 held-out normal clips was above")
    assert sentences.held_out(hearing(3, 3)).en.startswith("None of 3")
    assert sentences.held_out(hearing(3, None)).en == ""
    assert sentences.enough_caught(hearing(1, 3)).en == "the one clip that was tried"
    assert sentences.enough_caught(hearing(20, 20)).en == "19 of 20 clips"


def test_hearing_that_could_not_be_measured_says_why() -> None:
    assert "already above" in sentences.unheard(hearing(0, 3, why_unheard="none_quiet")).en
    assert sentences.unheard(scored(hears=())).en == "It was not measured when this model was made."
    assert sentences.heard_short(hearing(0, 3)) == []


def test_advice_follows_from_the_figures() -> None:
    def told(**changes: Any) -> str:
        return " ".join(item.en for item in advice(scored(**changes)))

    assert "Record 7 more normal clips" in told(normals_target=3)
    assert "about 13 more normal recordings of today's conditions" in told()
    assert "falls from 7.7% to 3.8%" in told(promise=replace(PROMISE, promised=1 / 13))
    assert "“far”: those score higher" in told()
    assert "background alone" in told(supply=Supply(0, 3, {}), hears=(), promise=None)
    assert "from one day" in told(supply=Supply(1, 1, {}), hears=(), promise=None)
    one = told(supply=Supply(1, 2, {"speed_level": 1, "load_level": 0}), hears=(), promise=None, effects=())
    assert "have the same speed" in one
    assert "Fill in load" in one
    assert "More normal clips are unusual than promised" in told(observed_interval=(0.3, 0.6))
    assert "Send test recordings" in told(test_scores=np.empty(0), test_labels=(), test_decisions=())
    assert "which are normal and which anomalous" in " ".join(item.en for item in advice(unlabelled()))
    assert len(advice(scored(normals_target=1, supply=Supply(0, 1, {"speed_level": 0})))) == 5
    met = KpiView("met", "auc", 0.9, 0.99, 0.95, 1.0)
    assert told(kpi=met, hears=(), promise=None, effects=(), supply=Supply(1, 4, {"speed_level": 2})) == ""
    assert advice(failed(why_not="damaged")) == ()


HEADINGS = {
    "sound": ("Machine sound report", "설비 소리 진단 보고서"),
    "signals": ("Motor signal report", "모터 신호 진단 보고서"),
    "both": ("Machine sound and signal report", "설비 소리·신호 진단 보고서"),
}


@pytest.mark.parametrize(
    ("sections", "holds"),
    [(("",), "sound"), (("current", "flux"), "signals"), (("", "current"), "both"), ((), "sound")],
)
def test_heading_and_words_say_what_the_package_holds(sections: tuple[str, ...], holds: str) -> None:
    view = report(*(scored(section_id=f"s{place}", signal=signal) for place, signal in enumerate(sections)))
    for words in (render_report(view, "en"), render_report(view, "ko")):
        for name, headings in HEADINGS.items():
            for heading in headings:
                assert (f">{heading}<" in words) == (name == holds), heading


def test_a_page_of_signals_alone_speaks_of_no_sound_or_microphone() -> None:
    text = _without_scripts(render_report(report(scored(signal="current", hears=(), top=())), "en"))
    told = text.replace(say("unheard.signals").en, "").replace(say("unheard.signals").ko, "")
    # the words that stay are those of columns of the table
    told = told.replace(known("column", "mic_position_id").en, "").replace(
        known("column", "mic_position_id").ko, ""
    )
    for word in ("microphone", "마이크", "소리", " sound", "Sound", "listens"):
        assert word not in told, told[max(0, told.find(word) - 80) : told.find(word) + 80]


def _without_scripts(page: str) -> str:
    return re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
