"""Data Docs of the quality table."""

from __future__ import annotations

import math
import re
import socket
import tempfile
from datetime import UTC, datetime

import pytest

from alp_assets.params import QualityParams
from schemas.expectations import write_data_docs
from schemas.tables import QUALITY, table_of

LIMITS = QualityParams().model_dump()
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to write to; everywhere else that one might write to is empty, and there is no network."""
    asked = []

    def refuse(*address):
        asked.append(address)
        raise OSError("no network")

    for name in ("home", "work", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield tmp_path / "package" / "data_docs"
    assert asked == []


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_pages_lie_in_the_folder_and_nowhere_else_and_load_nothing(place, quality_row):
    counts = write_data_docs(table_of([quality_row(i) for i in range(5)], QUALITY), LIMITS, place, WHEN)
    assert counts["met"] == counts["expectations"] > 10
    assert (place / "index.html").is_file()
    outside = [path for path in _files(place.parents[1]) if place not in path.parents]
    assert outside == []
    for page in place.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(https?:)?//", page.read_text())
        assert loaded == []


def test_the_index_leads_to_pages_that_are_there(place, quality_row):
    write_data_docs(table_of([quality_row()], QUALITY), LIMITS, place, WHEN)
    links = re.findall(r'href="([^"]+)"', (place / "index.html").read_text())
    assert links
    for link in links:
        assert (place / link).is_file()


def test_one_bad_value_is_one_expectation_not_met(place, quality_row):
    good = [quality_row(i) for i in range(5)]
    whole = write_data_docs(table_of(good, QUALITY), LIMITS, place, WHEN)
    for bad in (
        {"clipping_ratio": 0.5},
        {"verdict": "set aside"},
        {"rms_dbfs": math.nan},
        {"container": "MP3"},
        {"hum_db": -3.0},
        {"near_copy_of": "audio/0.wav"},
        {"section_drift_db": 9.0},
    ):
        counts = write_data_docs(table_of([*good, quality_row(5, **bad)], QUALITY), LIMITS, place, WHEN)
        assert counts == {"met": whole["expectations"] - 1, "expectations": whole["expectations"]}, bad


def test_the_same_table_gives_the_same_bytes(place, quality_row):
    table = table_of([quality_row(i) for i in range(3)], QUALITY)
    pages = []
    for name in ("one", "two"):
        write_data_docs(table, LIMITS, place / name, WHEN)
        pages.append({path.relative_to(place / name): path.read_bytes() for path in _files(place / name)})
    assert pages[0] == pages[1]
