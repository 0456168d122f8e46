"""The report of a package as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from alp_assets.report import text
from alp_assets.report.model import KPI_STATUSES, ClipView, ReportView, SectionView
from alp_assets.report.plots import picture_size, score_histogram, spectrogram

SET_ASIDE_SHOWN = 500


def render_report(view: ReportView) -> str:
    """The page as text: what came and what was set aside, a line for each machine, then each in full.

    Styles and images are inside the page, it loads nothing and holds no script, and whatever the customer
    wrote is escaped. The same view gives the same text.
    """
    shown = view.set_aside[:SET_ASIDE_SHOWN]
    values = {
        "view": view,
        "pages": [_section_page(position, section) for position, section in enumerate(view.sections, start=1)],
        "set_aside": shown,
        "set_aside_left_out": len(view.set_aside) - len(shown),
        "findings": text.findings(view.problems),
        "scored": sum(section.scored for section in view.sections),
        "flagged": sum(section.flagged for section in view.sections),
        "scored_clips": sum(len(section.test_decisions) for section in view.sections),
        "agreed": _agreed(view.sections),
    }
    return text.render("report.html.j2", values)


def _agreed(sections: Sequence[SectionView]) -> dict[str, int]:
    """How many sections have each KPI status; nothing where none has any."""
    found = Counter(section.kpi.status for section in sections if section.kpi)
    return {status: found[status] for status in KPI_STATUSES} if found else {}


@dataclass(frozen=True)
class _ClipPage:
    """A clip with its picture as a data URI, and the picture's size in pixels."""

    clip: ClipView
    picture: str
    width: int
    height: int


@dataclass(frozen=True)
class _SectionPage:
    """A section with its sentences and pictures. ``histogram`` is empty where there is no score to draw."""

    anchor: str
    section: SectionView
    promise: str
    observed: str
    kept: str
    rule: str
    expected: str
    extrapolation: str
    unheard: str
    enough: str
    held_out: str
    map_legend: str
    histogram: str
    clips: tuple[_ClipPage, ...]


def _section_page(position: int, section: SectionView) -> _SectionPage:
    has_scores = len(section.calibration_scores) or len(section.test_scores)
    return _SectionPage(
        anchor=f"section-{position}",
        section=section,
        promise=text.promise(section),
        observed=text.observed(section),
        kept=text.kept(section),
        rule=text.alarm_rule(section),
        expected=text.expected_alarms(section),
        extrapolation=text.extrapolation(section),
        unheard=text.unheard(section),
        enough=text.enough_caught(section),
        held_out=text.held_out(section),
        map_legend=text.map_legend(section),
        histogram=_data_uri("image/svg+xml", score_histogram(section)) if has_scores else "",
        clips=tuple(_clip_page(clip) for clip in section.top),
    )


def _clip_page(clip: ClipView) -> _ClipPage:
    return _ClipPage(clip, _data_uri("image/png", spectrogram(clip)), *picture_size(clip))


def _data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{b64encode(content).decode('ascii')}"
