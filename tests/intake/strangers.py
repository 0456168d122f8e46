"""What a process that reads tables would send if it had been taken over."""

from __future__ import annotations

import json
import os

from alp_assets.sandbox.line import ARENA_BYTES

_GOOD = {
    "columns": {"relative_path": ["a"], "machine_type": ["fan"]},
    "rows": [2],
    "headers": {"relative_path": "path", "machine_type": "machine"},
    "unknown_headers": [],
    "problems": [],
    "letters": {},
    "formulas": [],
}


def _sent(**changes):
    yield {}
    yield json.dumps(_GOOD | changes).encode()


def empty(stream, request):
    yield from _sent(columns={})


def uneven(stream, request):
    yield from _sent(rows=[2, 3])


def numbers(stream, request):
    yield from _sent(columns={"relative_path": [1], "machine_type": [{}]})


def other_columns(stream, request):
    yield from _sent(columns={"path": ["a"]})


def unknown_problem(stream, request):
    yield from _sent(problems=[{"severity": "error", "code": "of all things"}])


def crash(stream, request):
    os.abort()
    yield {}


def endless(stream, request):
    yield {}
    while True:
        yield bytes(ARENA_BYTES)
