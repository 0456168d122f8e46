"""Data Docs of the quality table."""

from __future__ import annotations

import math
import re
import socket
import tempfile
from datetime import UTC, datetime

import pytest

from alp_assets.params import QualityParams, SignalParams
from schemas.expectations import write_data_docs
from schemas.tables import MEASURED_SIGNALS, QUALITY, table_of

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


def channel_row(number=0, **changes):
    return {
        "recording": f"signals/{number}.csv", "row": number + 2, "modality": "current", "sample_rate_hz": 10_000.0,
        "points": 100_000, "mains_hz": 60.0, "imbalance": 0.01, "phase_order": "abc", "upside_down": "",
        "negative_sequence": 0.01, "zero_sequence": 0.01, "jitter": 0.0, "gaps": 0, "points_lost": 0, "spikes": 0,
        "channel": "CH1", "role": "phase_a", "rms": 5.0, "peak": 7.1, "crest": 1.4, "offset": 0.0, "missing": 0.0,
        "longest_missing": 0, "flat": 0.0, "saturated": 0.0, **changes,
    }  # fmt: skip


def test_signals_and_their_channels_have_pages_of_their_own(place, quality_row):
    signal = {
        "modality": "current",
        "container": "CSV",
        "sample_rate_hz": 10_000,
        "channels": 4,
        "rms_dbfs": math.nan,
    }
    rows = [quality_row(), *(quality_row(number, **signal) for number in (1, 2))]
    limits = SignalParams().model_dump()

    def counted(channels, table=rows):
        measured = table_of(channels, MEASURED_SIGNALS)
        return write_data_docs(table_of(table, QUALITY), LIMITS, place, WHEN, measured, limits)

    whole = counted([channel_row(1), channel_row(2)])
    assert whole["met"] == whole["expectations"] > 25
    text = "".join(page.read_text() for page in place.rglob("*.html"))
    for name in ("signal_recordings", "signal_channels", "phase_order"):
        assert name in text
    for bad in ({"spikes": 3}, {"phase_order": "acb"}, {"missing": 0.5}, {"mains_hz": 900.0}):
        assert counted([channel_row(1), channel_row(2, **bad)])["met"] == whole["met"] - 1, bad
    alone = counted([channel_row(1)], rows[1:])
    assert 10 < alone["expectations"] < whole["expectations"]
