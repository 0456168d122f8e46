"""The frames of the pages: who sees them, in which language, where they lead, and that their texts exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from alp_assets.stages.package import STAGES
from alp_assets.web.console import add_console
from schemas.texts import LANGUAGES, read_texts

WEB = Path(add_console.__code__.co_filename).parents[1]
SCRIPTS = sorted((WEB / "static").rglob("*.js"))
PAGES = ["/packages", "/packages/acme/first", "/diagnose", "/models", "/models/ab12", "/threshold", "/feedback"]
BORROWED = {"machine": ("report", "machine"), "findings": ("letter", "findings"), "costs": ("letter", "costs")}


def client(*, signed_in: bool = True) -> TestClient:
    who = SimpleNamespace(name="Kim <b>", via="session") if signed_in else None
    app = FastAPI()
    add_console(app, SimpleNamespace(identity=lambda request: who))  # type: ignore[arg-type]
    return TestClient(app, follow_redirects=False)


def keys(texts: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in texts.items():
        yield from keys(value, f"{before}{name}.") if isinstance(value, Mapping) else [before + name]


def filled(texts: Mapping[str, Any], key: str) -> set[str]:
    value: Any = texts
    for name in key.split("."):
        value = value[name]
    return set(re.findall(r"{(\w+)", value))


@pytest.mark.parametrize("path", [*PAGES, "/models/section?section=acme%2Ffan%2F1"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_are_whole_and_hold_no_inline_script_or_style(path: str, language: str) -> None:
    answer = client().get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert "Kim &lt;b&gt;" in answer.text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", answer.text)
    inline = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", answer.text)
    assert inline == [' type="application/json" id="words"']
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
        assert client().get(address).status_code == 200


def test_what_a_customer_wrote_stays_text() -> None:
    section = "acme/fan/</script><script>alert(1)</script>"
    answer = client().get("/models/section", params={"section": section})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_signing_in(path: str) -> None:
    answer = client(signed_in=False).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=%2F")
    assert "over" not in answer.headers["location"]


def test_whoever_was_signed_in_is_told_that_it_is_over() -> None:
    answer = client(signed_in=False).get("/models", headers={"Cookie": "alp_session=old"})
    assert answer.headers["location"].endswith("why=over")


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/threshold?model=1", "/threshold?model=1"),
        ("//evil.example", "/packages"),
        ("/\\evil.example", "/packages"),
        ("https://evil.example", "/packages"),
        ("/\t/evil.example", "/packages"),
        ("", "/packages"),
    ],
)
@pytest.mark.parametrize("door", ["/sign-in", "/language"])
def test_one_is_only_ever_led_to_pages_of_this_server(door: str, wanted: str, leads_to: str) -> None:
    answer = client().get(door, params={"next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)


def test_the_sign_in_page_leads_to_itself_only_to_change_the_language() -> None:
    there = {"next": "/sign-in?next=%2Fmodels"}
    assert client().get("/sign-in", params=there).headers["location"] == "/packages"
    assert client().get("/language", params=there).headers["location"] == there["next"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.5, ko;q=0.6", "ko"),
        ("de, ko;q=0", "en"),
        ("fr-FR", "en"),
        ("ko;q=high", "en"),
        ("", "en"),
    ],
)
def test_the_language_follows_the_browser(accepted: str, language: str) -> None:
    answer = client(signed_in=False).get("/sign-in", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text


def test_a_chosen_language_is_remembered_and_nonsense_is_not() -> None:
    browser = client()
    browser.get("/language", params={"language": "ko", "next": "/models"})
    assert '<html lang="ko">' in browser.get("/models", headers={"Accept-Language": "en"}).text
    browser.get("/language", params={"language": "xx"})
    assert '<html lang="ko">' in browser.get("/models").text


def test_files_may_be_kept_by_browsers() -> None:
    page = client().get("/models").text
    style = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert style is not None
    assert "immutable" in client().get(style[1]).headers["cache-control"]
    assert client().get(style[1].rpartition("/")[0] + "/../../pages.py").status_code == 404


def test_both_languages_have_the_same_texts_with_the_same_gaps() -> None:
    english, korean = (read_texts("console", language) for language in LANGUAGES)
    assert set(keys(english)) == set(keys(korean))
    for key in keys(english):
        assert filled(english, key) == filled(korean, key), key


def test_every_stage_and_gate_is_told_in_words() -> None:
    from alp_assets.checks.gates import GATES

    texts = read_texts("console", "en")
    assert set(STAGES) == set(texts["stage"]) == set(texts["package"]["stage_says"])
    assert {gate for _, gate, _ in GATES} == set(texts["package"]["gate"]) == set(texts["package"]["gate_says"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_speak_with_texts_that_exist(script: Path) -> None:
    known = set(keys(read_texts("console", "en")))
    for group, (topic, name) in BORROWED.items():
        known |= set(keys(read_texts(topic, "en")[name], f"{group}."))  # type: ignore[arg-type]
    source = script.read_text("utf-8")
    for key in re.findall(r'\bsay\("([^"]+)"', source):
        assert key in known, key
    for key in re.findall(r'\bcount\("([^"]+)"', source):
        assert {f"{key}.one", f"{key}.many"} <= known, key
    for group in re.findall(r"(?:say|known)\(`([\w.]+)\.\$\{", source) + re.findall(r'\bknown\("([^"]+)"', source):
        assert any(key.startswith(f"{group}.") for key in known), group


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_never_make_markup_of_text(script: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|alert\(", script.read_text("utf-8")
    )
