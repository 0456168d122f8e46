"""The letter of refusal and its list of findings: what they say, in which order, and that they are safe."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from alp_assets.report.check import CheckView, MachineRow, render_check
from alp_assets.report.findings import (
    GROUP_ABOVE,
    MOST_GROUPS,
    MOST_LINES,
    MOST_PLACES,
    findings,
    findings_table,
    grouped,
)
from alp_assets.report.letter import render_letter
from schemas.problems import Problem

ESCAPE = Problem("refusal", "entry_climbs", file="../../x.wav")
DATE = Problem("error", "time_unreadable", {}, 7, "recorded_at", "May", letter="D", header="녹음일시")


class Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.language: str | None = None
        self.body = False
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.body = self.body or tag == "body"
        if tag == "html":
            self.language = dict(attrs)["lang"]

    def handle_data(self, data: str) -> None:
        if self.body:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def dates(count: int) -> list[Problem]:
    return [Problem("error", "time_unreadable", {}, n + 2, "recorded_at", f"v{n}") for n in range(count)]


def said(number: int) -> Problem:
    return Problem.said("error", f"Wrong {number}.", "Mend it.", row=number)


def test_letter_says_first_that_the_upload_is_kept() -> None:
    told = Page(render_letter("acme", "line-2", ["No normal audio."], [DATE, ESCAPE])).text
    order = [
        "acme",
        "line-2",
        "Your upload is kept",
        "No normal audio.",
        "Its path climbs out",
        "It is not a date",
        "What to do next",
    ]
    places = [told.index(words) for words in order]
    assert places == sorted(places)


def test_letter_tells_where_each_problem_is_and_how_to_mend_it() -> None:
    told = Page(render_letter("acme", "line-2", [], [DATE, ESCAPE])).text
    for words in (
        "../../x.wav",
        "Zip only the package folder",
        "stops the package",
        "row 7, column D (녹음일시)",
        "May",
    ):
        assert words in told
    assert "problems.csv" in told
    assert "line-2-2" in told


def test_letter_in_korean_is_korean_throughout() -> None:
    page = Page(render_letter("acme", "line-2", ["사유"], [DATE, ESCAPE], "ko", "problems.ko.csv"))
    assert page.language == "ko"
    for words in (
        "보내 주신 패키지(line-2)",
        "7행, D열(녹음일시)",
        "날짜로 읽을 수 없습니다.",
        "접수 불가",
        "problems.ko.csv",
    ):
        assert words in page.text
    for words in ("row", "set aside", "What", "The "):
        assert words not in page.text


def test_letter_without_problems_has_no_list() -> None:
    page = Page(render_letter("acme", "line-2", ["The zip is damaged."], []))
    assert "article" not in page.tags
    assert "The zip is damaged." in page.text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_hostile_text_is_only_text_and_nothing_is_loaded(language) -> None:
    bad = "<script src='x'></script>\udce9"
    problem = Problem.said("refusal", bad, bad, row=1, column=bad, value=bad, file=bad, letter="A", header=bad)
    machine = MachineRow(bad, True, bad, bad, bad, bad, bad)
    for html in (
        render_letter(bad, bad, [bad], [problem], language),
        render_check(CheckView(bad, "ok", bad, bad, [bad], [machine], [problem]), language),
    ):
        page = Page(html)
        assert not {"script", "link", "img"} & set(page.tags)
        assert page.text.count("<script src='x'></script>\ufffd") >= 8
        assert "http://" not in html
        assert "https://" not in html
        html.encode("utf-8")


def test_same_input_gives_the_same_letter() -> None:
    first, second = (render_letter("acme", "line-2", ["a"], [DATE, ESCAPE]) for _ in range(2))
    assert first == second


def test_equal_problems_are_told_once_with_their_places() -> None:
    (group,) = grouped([*dates(3)], "en").shown
    assert (group.problem, group.count, group.rows) == ("It is not a date that can be read.", 3, "2-4")
    assert [(place.row, place.value) for place in group.places] == [(2, "v0"), (3, "v1"), (4, "v2")]
    told = Page(render_letter("acme", "line-2", [], dates(3))).text
    assert told.count("It is not a date that can be read.") == 1
    assert "3 times: rows 2-4" in told


def test_problems_of_one_kind_with_other_figures_say_each_its_own() -> None:
    short = [
        Problem("error", "too_short", {"seconds": s, "least": 1.0}, row=2, file=f"{s}.wav") for s in (0.2, 0.4)
    ]
    (group,) = grouped(short, "en").shown
    assert group.problem == ""
    assert group.remedy == "Record 10 s or more."
    assert [place.told.problem[:10] for place in group.places if place.told] == ["It is 0.20", "It is 0.40"]


def test_twenty_thousand_problems_make_a_small_page_that_counts_them() -> None:
    page = render_letter("acme", "line-2", [], [*dates(20_000), DATE])
    assert len(page) < 60_000
    told = Page(page).text
    assert f"{20_001 - MOST_PLACES:,} further places have no room here." in told
    assert "20,001 times: rows 2-20001" in told


def test_kinds_that_no_page_can_hold_are_cut_and_the_rest_is_counted() -> None:
    found = grouped([said(n) for n in range(MOST_GROUPS + 30)], "en")
    assert len(found.shown) == MOST_GROUPS
    assert found.left_out == 30


def test_the_small_table_tells_effect_count_and_an_example() -> None:
    (line,) = findings_table(dates(4)).to_dict("records")
    assert (line["effect"], line["count"], line["rows"], line["example"]) == ("set aside", 4, "2-5", "v0")


def test_up_to_the_limit_equal_problems_are_told_one_by_one() -> None:
    assert len(findings(dates(GROUP_ABOVE)).lines) == GROUP_ABOVE


def test_more_equal_problems_become_one_line_that_counts_them() -> None:
    found = findings([*dates(5_000), ESCAPE])
    assert [line.count for line in found.lines] == [1, 5_000]
    assert found.lines[1].rows == "2-5001"
    assert found.lines[1].value == "v0 and 4,999 more"
    assert found.total == 5_001


def test_lines_are_told_in_the_language_too() -> None:
    (line,) = findings([DATE], "ko").lines
    assert (line.cost, line.column, line.problem) == (
        "해당 항목 제외",
        "D열(녹음일시)",
        "날짜로 읽을 수 없습니다.",
    )


def test_rows_of_a_group_are_told_as_ranges() -> None:
    every_other = dates(2 * (GROUP_ABOVE + 1))[::2]
    assert findings(every_other).lines[0].rows == f"2, 4, 6, 8, 10, 12 and {GROUP_ABOVE - 5} more"


def test_a_table_that_no_page_can_hold_is_cut_and_the_rest_is_counted() -> None:
    found = findings([said(n) for n in range(MOST_LINES + 30)])
    assert len(found.lines) == MOST_LINES
    assert found.left_out == 30


def test_lines_run_worst_first_then_by_row() -> None:
    note = Problem.said("warning", "Note.", "Nothing.", row=1)
    early = Problem.said("error", "Early.", "Mend it.", row=3)
    expected = [ESCAPE.problem, "Early.", DATE.problem, "Note."]
    assert [line.problem for line in findings([note, DATE, early, ESCAPE]).lines] == expected
    assert [group.problem for group in grouped([note, DATE, early, ESCAPE], "en").shown] == expected
