"""The letter of refusal: what it says, in which order, and that it is safe to open."""

from __future__ import annotations

from html.parser import HTMLParser

from alp_assets.report.letter import render_letter
from alp_assets.report.text import GROUP_ABOVE, MOST_LINES, findings
from schemas.problems import Problem

ESCAPE = Problem("refusal", "The path leaves the package.", "Pack the folder again.", file="../../x.wav")
DATE = Problem("error", "Not a date.", "Write 2024-05-31.", row=7, column="recorded_at", value="May")


class Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.body = False
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.body = self.body or tag == "body"

    def handle_data(self, data: str) -> None:
        if self.body:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def dates(count: int) -> list[Problem]:
    return [
        Problem("error", "Not a date.", "Write it so.", row=n + 2, column="recorded_at", value=f"v{n}")
        for n in range(count)
    ]


def test_letter_says_first_that_the_upload_is_kept() -> None:
    told = Page(render_letter("acme", "line-2", ["No normal audio."], [DATE, ESCAPE])).text
    order = [
        "acme",
        "line-2",
        "Your upload is kept",
        "No normal audio.",
        "The path leaves the package.",
        "Not a date.",
        "What to do next",
    ]
    places = [told.index(words) for words in order]
    assert places == sorted(places)


def test_letter_tells_where_each_problem_is_and_how_to_mend_it() -> None:
    told = Page(render_letter("acme", "line-2", [], [DATE, ESCAPE])).text
    for words in ("../../x.wav", "Pack the folder again.", "stops the package"):
        assert words in told
    assert "7 recorded_at May Not a date. Write 2024-05-31. set aside" in told
    assert "problems.csv" in told


def test_letter_without_problems_has_no_table() -> None:
    page = Page(render_letter("acme", "line-2", ["The zip is damaged."], []))
    assert "table" not in page.tags
    assert "The zip is damaged." in page.text


def test_hostile_text_is_only_text_and_nothing_is_loaded() -> None:
    bad = "<script src='x'></script>\udce9"
    html = render_letter(bad, bad, [bad], [Problem("refusal", bad, bad, 1, bad, bad, bad)])
    page = Page(html)
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.text.count("<script src='x'></script>\ufffd") >= 8
    assert "http://" not in html
    assert "https://" not in html
    html.encode("utf-8")


def test_same_input_gives_the_same_letter() -> None:
    first, second = (render_letter("acme", "line-2", ["a"], [DATE, ESCAPE]) for _ in range(2))
    assert first == second


def test_up_to_the_limit_equal_problems_are_told_one_by_one() -> None:
    assert len(findings(dates(GROUP_ABOVE)).lines) == GROUP_ABOVE


def test_more_equal_problems_become_one_line_that_counts_them() -> None:
    found = findings([*dates(5_000), DATE])
    assert [line.count for line in found.lines] == [5_000, 1]
    assert found.lines[0].rows == "2-5001"
    assert found.lines[0].value == "v0 and 4,999 more"
    assert found.total == 5_001
    told = Page(render_letter("acme", "line-2", [], dates(5_000))).text
    assert "5,000 times: Not a date." in told


def test_rows_of_a_group_are_told_as_ranges() -> None:
    every_other = dates(2 * (GROUP_ABOVE + 1))[::2]
    assert findings(every_other).lines[0].rows == f"2, 4, 6, 8, 10, 12 and {GROUP_ABOVE - 5} more"


def test_a_table_that_no_page_can_hold_is_cut_and_the_rest_is_counted() -> None:
    many = [Problem("error", f"Wrong {n}.", "Mend it.", row=n) for n in range(MOST_LINES + 30)]
    found = findings(many)
    assert len(found.lines) == MOST_LINES
    assert found.left_out == 30
    assert "30 further problems" in Page(render_letter("acme", "line-2", [], many)).text


def test_lines_run_worst_first_then_by_row() -> None:
    note = Problem("warning", "Note.", "Nothing.", row=1)
    early = Problem("error", "Early.", "Mend it.", row=3)
    found = findings([note, DATE, early, ESCAPE])
    assert [line.problem for line in found.lines] == [
        "The path leaves the package.",
        "Early.",
        "Not a date.",
        "Note.",
    ]
