"""The report of a package as one HTML page, in every language, that needs nothing beside itself."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from alp_assets.report import charts, sentences, sound, text
from alp_assets.report.advice import CLEAR, advice
from alp_assets.report.findings import Finding, findings
from alp_assets.report.model import KPI_STATUSES, ClipView, Point, ReportView, SectionView
from alp_assets.report.waveform import waveforms
from alp_assets.report.words import Holds, Words, count_of, count_of_in, known, same, say, say_of
from schemas.problems import Problem
from schemas.texts import LANGUAGES, Language

if TYPE_CHECKING:
    from markupsafe import Markup

SET_ASIDE_SHOWN = 500

MOST_CLIPS = 60
MOST_SOUNDS = 36
MOST_POINTS = 3_200
"""What a page holds of all its sections together, so that twenty of them stay under five megabytes."""

_FEWEST_POINTS = 60
_TICKS_HZ = (250, 500, 1000, 2000, 4000)


def render_report(view: ReportView, language: Language = "en") -> str:
    """The page as text: a line for each machine that anybody understands, each machine in full, then the data.

    Every text is there in every language; ``language`` is the one that shows at first and in print. Styles,
    pictures, sounds and the script of the switch are inside the page; it loads nothing, and it lets no other
    script run. Whatever the customer wrote is escaped. The same view gives the same text.
    """
    script = resources.files(__package__).joinpath("templates/report.js").read_text(encoding="utf-8")
    shown = view.set_aside[:SET_ASIDE_SHOWN]
    attribute = partial(_attribute, language)
    values = {
        "view": view,
        "language": language,
        "languages": LANGUAGES,
        "script": _markup(script),
        "script_hash": b64encode(sha256(script.encode()).digest()).decode("ascii"),
        "say": say,
        "say_of": say_of,
        "count_of": count_of,
        "known": known,
        "said": attribute,
        "words": sentences,
        "pages": _pages(view.sections, attribute),
        "lead": _lead(view),
        "set_aside": shown,
        "set_aside_left_out": len(view.set_aside) - len(shown),
        "findings": _problems(view.problems),
    }
    return text.render("report.html.j2", values)


def _attribute(language: Language, name: str, words: Words | str) -> Markup:
    """An attribute that the switch of languages changes too, ready to be written into a tag."""
    said = words if isinstance(words, Words) else same(words)
    written = f'{name}="{escape(said.of(language))}"'
    if said.en != said.ko:
        written += f' data-attr="{name}" data-en="{escape(said.en)}" data-ko="{escape(said.ko)}"'
    return _markup(written)


def _markup(written: str) -> Markup:
    from markupsafe import Markup

    return Markup(written)  # noqa: S704  every part of it was escaped where it was made


def _lead(view: ReportView) -> list[Words]:
    """What is most worth knowing, in a few sentences."""
    total = len(view.sections)
    scored = sum(section.scored for section in view.sections)
    if not total:
        told = [say("lead.none")]
    elif scored == total:
        told = [count_of("lead.all", total)]
    else:
        told = [say("lead.some", scored=scored, total=total) if scored else count_of("lead.nobody", total)]
    tested = sum(len(section.test_decisions) for section in view.sections)
    if tested:
        flagged = sum(section.flagged for section in view.sections)
        told.append(count_of_in(view.holds, "lead.flagged", flagged, tested=text.count(tested)))
    elif scored:
        told.append(say("lead.no_tests"))
    agreed = Counter(section.kpi.status for section in view.sections if section.kpi)
    if agreed:
        met, not_met, open_ = (agreed[status] for status in KPI_STATUSES)
        told.append(count_of("lead.kpi", agreed.total(), met=met, not_met=not_met, open=open_))
    if view.set_aside:
        told.append(count_of("lead.set_aside", len(view.set_aside)))
    return told


@dataclass(frozen=True)
class _ClipPage:
    """A clip with its pictures and its sound as data URIs, or a signal's channels; empty where there is none."""

    clip: ClipView
    spectrogram: str
    overlay: str
    audio: str
    seconds: float
    pitches: tuple[tuple[str, float], ...]
    waveforms: Markup


@dataclass(frozen=True)
class _Effect:
    """One line on a condition: its words, and the share of the way to the threshold as a bar from -1 to 1."""

    column: Words
    value: Words
    n: int
    median: float
    shift: Words
    verdict: Words
    bar: float


@dataclass(frozen=True)
class _SectionPage:
    """A section with its words and pictures. A chart is empty text where there is nothing to draw."""

    anchor: str
    section: SectionView
    name: Words
    standing: str
    advice: tuple[Words, ...]
    effects: tuple[_Effect, ...]
    histogram: Markup
    roc: Markup
    timeline: Markup
    map: Markup
    drawn: int
    clips: tuple[_ClipPage, ...]


def _pages(sections: Sequence[SectionView], attribute: Callable[..., Markup]) -> list[_SectionPage]:
    most = max(MOST_CLIPS // max(len(sections), 1), 1)
    shown = [section.top[:most] for section in sections]
    heard = _heard([len(clips) for clips in shown])
    points = max(MOST_POINTS // (2 * max(len(sections), 1)), _FEWEST_POINTS)
    return [
        _section_page(number, section, clips, sounds, points, attribute)
        for number, (section, clips, sounds) in enumerate(zip(sections, shown, heard, strict=True), start=1)
    ]


def _heard(clips: list[int]) -> list[int]:
    """How many of each section's clips come with their sound: first the first of every section, and so on."""
    turns = sorted((turn, section) for section, n in enumerate(clips) for turn in range(n))[:MOST_SOUNDS]
    given = Counter(section for _, section in turns)
    return [given[section] for section in range(len(clips))]


def _section_page(
    number: int,
    section: SectionView,
    clips: Sequence[ClipView],
    sounds: int,
    points: int,
    attribute: Callable[..., Markup],
) -> _SectionPage:
    anchor, name = f"section-{number}", sentences.machine(section)
    drawn = _thinned(section.points, points)
    chart = partial(_chart, attribute, section.holds, name)
    has_scores = len(section.calibration_scores) or len(section.test_scores)
    times = sorted(f"{point.recorded_at:%Y-%m-%d %H:%M}" for point in drawn if point.recorded_at)
    return _SectionPage(
        anchor=anchor,
        section=section,
        name=name,
        standing=sentences.standing(section),
        advice=advice(section),
        effects=tuple(_effect(section, place) for place in range(len(section.effects))),
        histogram=chart(
            partial(charts.score_histogram, section, f"{anchor}-h"),
            "histogram",
            calibration=len(section.calibration_scores),
            tested=len(section.test_scores),
            flagged=section.flagged,
            threshold=text.number(section.threshold),
        )
        if has_scores
        else _markup(""),
        roc=chart(partial(charts.roc, section, f"{anchor}-r"), "roc", auc=text.fixed(section.auc)),
        timeline=chart(
            partial(charts.timeline, section, drawn, f"{anchor}-t"),
            "timeline",
            shown=len(drawn),
            first=times[0] if times else "",
            last=times[-1] if times else "",
        ),
        map=chart(partial(charts.embedding_map, drawn, f"{anchor}-m"), "map", shown=len(drawn)),
        drawn=len(drawn),
        clips=tuple(
            _clip_page(clip, f"{anchor}-c{place}", attribute, audible=place < sounds)
            for place, clip in enumerate(clips)
        ),
    )


def _chart(
    attribute: Callable[..., Markup],
    holds: Holds,
    machine: Words,
    draw: Callable[[str], str],
    key: str,
    **gaps: str | int,
) -> Markup:
    said = say_of(holds, f"figure.{key}_alt", machine=machine, **gaps)
    return _markup(draw(str(attribute("aria-label", said))))


def _thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points in their order: the quarter with the highest scores, the others evenly chosen."""
    if len(points) <= most:
        return list(points)
    by_score = sorted(range(len(points)), key=lambda place: -(points[place].score or 0.0))
    kept, others = set(by_score[: most // 4]), sorted(by_score[most // 4 :])
    room = most - len(kept)
    kept.update(others[place * len(others) // room] for place in range(room))
    return [points[place] for place in sorted(kept)]


def _effect(section: SectionView, place: int) -> _Effect:
    found = section.effects[place]
    first = place == 0 or section.effects[place - 1].column != found.column
    share = sentences.percent(round(abs(found.shift), 2))
    direction = "level" if share == "0%" else "towards" if found.shift > 0 else "away"
    if found.chance is None:
        verdict = "few"
    elif found.chance >= CLEAR:
        verdict = "unclear"
    else:
        verdict = "raises" if found.shift > 0 else "lowers"
    return _Effect(
        column=known("column", found.column) if first else same(""),
        value=known("value", found.value) if found.column == "domain" else same(found.value),
        n=found.n,
        median=found.median,
        shift=say(f"effects.{direction}", share=share),
        verdict=say(f"effects.{verdict}"),
        bar=max(-1.0, min(found.shift, 1.0)),
    )


def _clip_page(clip: ClipView, name: str, attribute: Callable[..., Markup], *, audible: bool) -> _ClipPage:
    if clip.channels:
        seen = say("clip.waveforms_alt", clip=clip.clip_id, score=text.number(clip.score))
        drawn = waveforms(clip, name, str(attribute("aria-label", seen)))
        return _ClipPage(clip, "", "", "", clip.samples.shape[1] / clip.sample_rate, (), _markup(drawn))
    rate = round(clip.sample_rate)
    seconds = max(len(clip.samples), 1) / clip.sample_rate
    over = b"" if clip.anomaly_map is None else sound.overlay(clip.anomaly_map, clip.map_seconds, seconds)
    return _ClipPage(
        clip=clip,
        spectrogram=_data_uri("image/png", sound.spectrogram(clip.samples, rate)),
        overlay=_data_uri("image/png", over),
        audio=_data_uri("audio/mpeg", sound.audio(clip.samples, rate) if audible else b""),
        seconds=seconds,
        pitches=tuple((f"{hz:,}", 100 * sound.height_of(hz, rate)) for hz in _TICKS_HZ if hz < rate / 2),
        waveforms=_markup(""),
    )


@dataclass(frozen=True)
class _Line:
    """A line of the table of problems, in every language."""

    finding: Finding
    rows: Words
    column: Words
    value: Words
    file: Words
    problem: Words
    remedy: Words
    cost: Words


@dataclass(frozen=True)
class _Problems:
    lines: tuple[_Line, ...]
    left_out: int
    total: int


def _problems(problems: Sequence[Problem]) -> _Problems:
    english, korean = (findings(problems, language) for language in LANGUAGES)
    if len(english.lines) != len(korean.lines):  # sentences that are equal in one language alone
        korean = english
    lines = [
        _Line(en, *(Words(getattr(en, name), getattr(ko, name)) for name in _TOLD))
        for en, ko in zip(english.lines, korean.lines, strict=True)
    ]
    return _Problems(tuple(lines), english.left_out, english.total)


_TOLD = ("rows", "column", "value", "file", "problem", "remedy", "cost")


def _data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{b64encode(content).decode('ascii')}" if content else ""
