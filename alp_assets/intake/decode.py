"""Reading a customer's table in a process that may hang or run out of memory over it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

import pandas as pd

from alp_assets.errors import DecodingStopped, TableRefused
from alp_assets.intake.table import RawTable, read_table
from alp_assets.sandbox.line import ARENA_BYTES, Refusal
from alp_assets.sandbox.workers import Limits, Served, served
from schemas.columns import COLUMN_NAMES
from schemas.problems import Problem

if TYPE_CHECKING:
    from alp_assets.params import UploadParams

_JOB = "alp_assets.intake.decode:serve"
_SAID = {
    "decoding_too_long": "table_too_slow",
    "decoding_memory": "table_memory",
    "decoding_broke": "table_broke",
}


def decoded_table(data: bytes, filename: str, params: UploadParams) -> RawTable:
    """What ``read_table`` gives, read in a process with limits of time and memory.

    Raises:
        TableRefused: as ``read_table`` does, or reading took too long or too much memory, or broke.
    """
    limits = Limits(params.table_seconds, params.table_memory_mb)
    try:
        with served(_JOB, memoryview(data), {"filename": filename}, limits) as found:
            try:
                told = _received(found, limits)
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise found.broken(error) from error
    except DecodingStopped as stopped:
        said = stopped.problem
        raise TableRefused([Problem("refusal", _SAID[said.code], said.values, file=filename)]) from stopped
    except Refusal as refusal:  # ``serve`` refuses nothing in this way
        values = {"detail": str(refusal)[:500]}
        raise TableRefused([Problem("refusal", "table_broke", values, file=filename)]) from refusal
    if isinstance(told, RawTable):
        return told
    raise TableRefused(told)


def serve(stream: BinaryIO, request: dict[str, Any]) -> Iterator[Any]:
    """The work on a table: JSON of all that is known of it, in pieces."""
    yield {}
    try:
        told = _told(read_table(stream.read(), request["filename"]))
    except TableRefused as error:
        told = {"refused": [asdict(problem) for problem in error.problems]}
    data = memoryview(json.dumps(told).encode())
    for start in range(0, len(data), ARENA_BYTES):
        yield data[start : start + ARENA_BYTES]


def prepare() -> None:
    """Import what the first table would have to wait for."""
    os.environ["OPENPYXL_LXML"] = "False"  # else openpyxl takes another parser, in C, wherever that is installed
    import openpyxl.reader.excel  # noqa: F401


def _told(raw: RawTable) -> dict[str, Any]:
    return {
        "columns": {str(name): raw.frame[name].tolist() for name in raw.frame},
        "rows": raw.rows,
        "headers": raw.headers,
        "unknown_headers": raw.unknown_headers,
        "problems": [asdict(problem) for problem in raw.problems],
        "letters": dict(raw.letters),
        "formulas": sorted(raw.formulas),
    }


def _received(found: Served, limits: Limits) -> RawTable | list[Problem]:
    """The table, or why it is refused."""
    data = bytearray()
    for piece in found.buffers():
        data += piece.data
        if len(data) > limits.memory_mb * 2**20:  # more than the process could hold
            raise ValueError(f"more than {len(data)} bytes")
    told = json.loads(data)
    return [_problem(item) for item in told["refused"]] if "refused" in told else _table(told)


def _table(told: dict[str, Any]) -> RawTable:
    rows = [int(row) for row in told["rows"]]
    columns = {name: [*map(_text, told["columns"][name])] for name in told["columns"]}
    headers = _texts(told["headers"])
    if not columns or columns.keys() != headers.keys() or not columns.keys() <= set(COLUMN_NAMES):
        raise ValueError(f"columns {list(columns)[:99]}")
    if any(len(cells) != len(rows) for cells in columns.values()):
        raise ValueError("columns of other lengths than the table")
    return RawTable(
        frame=pd.DataFrame(columns, dtype="str"),
        rows=rows,
        headers=headers,
        unknown_headers=[*map(_text, told["unknown_headers"])],
        problems=[_problem(item) for item in told["problems"]],
        letters=_texts(told["letters"]),
        formulas=frozenset((int(row), _text(name)) for row, name in told["formulas"]),
    )


def _problem(told: dict[str, Any]) -> Problem:
    problem = Problem(**told)
    problem.told("en")
    return problem


def _texts(told: dict[Any, Any]) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in told.items()}


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"{told!r:.99} is no text")
    return told
