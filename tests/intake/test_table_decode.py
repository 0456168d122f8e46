"""The table is read in a process of its own: what comes back is the same, and whatever it does ends in words."""

from __future__ import annotations

import subprocess
import sys

import openpyxl
import pandas as pd
import pytest

from alp_assets.errors import TableRefused
from alp_assets.intake import decode
from alp_assets.intake.decode import decoded_table
from alp_assets.intake.table import read_table
from alp_assets.params import UploadParams
from tests.fuzz.seeds import seeds
from tests.packages import row, table

LIMITS = UploadParams()
ROWS = [
    row(f"audio/{number} \u1100\u1161\ud55c.wav", section_id="1\u1112\u1161", 비고="x") for number in range(30)
]


def refusal(data, limits=LIMITS, name="보낸 표.csv"):
    with pytest.raises(TableRefused) as caught:
        decoded_table(data, name, limits)
    return caught.value.problems


def same(one, other):
    pd.testing.assert_frame_equal(one.frame, other.frame)
    names = ("rows", "headers", "unknown_headers", "letters", "formulas")
    assert all(getattr(one, name) == getattr(other, name) for name in names)
    assert [str(problem) for problem in one.problems] == [str(problem) for problem in other.problems]
    assert [problem.told("ko") for problem in one.problems] == [problem.told("ko") for problem in other.problems]


@pytest.mark.parametrize("data", [table(ROWS), *seeds("table")])
def test_a_table_is_the_same_as_in_this_process(data):
    same(decoded_table(data, "m", LIMITS), read_table(data, "m"))


def test_a_table_of_bad_rows_alone_is_the_same_as_in_this_process():
    data = b"path,machine,section,date\na,fan,1,2024,1\n"
    same(decoded_table(data, "m", LIMITS), read_table(data, "m"))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no workbook", b"a,b\n1,2\n", b"path,machine,machine\n"])
def test_a_refusal_is_the_same_as_in_this_process(data):
    with pytest.raises(TableRefused) as caught:
        read_table(data, "보낸 표.csv")
    found = refusal(data)
    assert [str(problem) for problem in found] == [str(problem) for problem in caught.value.problems]
    assert [problem.told("ko") for problem in found] == [problem.told("ko") for problem in caught.value.problems]


def test_a_table_that_takes_too_long_is_refused_in_words():
    (problem,) = refusal(table(ROWS), UploadParams(table_seconds=1e-6))
    assert (problem.severity, problem.code, problem.file) == ("refusal", "table_too_slow", "보낸 표.csv")
    assert "upload.table_seconds" in problem.remedy
    assert "upload.table_seconds" in problem.told("ko").remedy


def test_a_table_that_takes_too_much_memory_is_refused_in_words():
    wide = [row("audio/a.wav", relative_path=f"audio/{number:0120000d}.wav") for number in range(300)]
    (problem,) = refusal(table(wide), UploadParams(table_memory_mb=64))
    assert (problem.severity, problem.code, problem.file) == ("refusal", "table_memory", "보낸 표.csv")
    assert "64 MB" in problem.problem
    assert "upload.table_memory_mb" in problem.told("ko").remedy


@pytest.mark.parametrize(
    "job",
    [
        "tests.sandbox.jobs:refuse",
        "tests.sandbox.jobs:echo",
        "tests.intake.strangers:empty",
        "tests.intake.strangers:uneven",
        "tests.intake.strangers:numbers",
        "tests.intake.strangers:other_columns",
        "tests.intake.strangers:unknown_problem",
        "tests.intake.strangers:crash",
    ],
)
def test_a_process_that_breaks_or_sends_nonsense_refuses_its_table(monkeypatch, job):
    monkeypatch.setattr(decode, "_JOB", job)
    (problem,) = refusal(table(ROWS))
    assert (problem.severity, problem.code) == ("refusal", "table_broke")
    assert problem.told("en").remedy
    assert problem.told("ko").remedy


def test_a_process_that_sends_without_end_is_not_listened_to(monkeypatch):
    monkeypatch.setattr(decode, "_JOB", "tests.intake.strangers:endless")
    (problem,) = refusal(table(ROWS), UploadParams(table_memory_mb=64))
    assert problem.code == "table_broke"


def test_workbooks_are_read_with_the_standard_library():
    assert openpyxl.Workbook  # which takes lxml where it finds it
    lines = "from alp_assets.intake import decode; decode.prepare(); import openpyxl; print(openpyxl.LXML)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
