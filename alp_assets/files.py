"""Writing files and folders so that a killed process leaves the old one or none, never half of one."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_RANDOM = "?" * 8  # what tempfile puts between prefix and suffix


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, on disk before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read and that is the same for the same value. NaN is refused."""
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame, *, for_excel: bool = False) -> None:
    """Write a table. Line ends inside cells are quoted; ``for_excel`` adds the mark that lets Excel see UTF-8.

    For Excel, cells that it would take for formulas get an apostrophe in front.
    """
    if for_excel:
        text = table.select_dtypes(["object", "str"]).columns
        table = table.assign(**{name: table[name].map(_no_formula) for name in text})
    table.to_csv(path, index=False, encoding="utf-8-sig" if for_excel else "utf-8", lineterminator="\r\n")


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t")) else cell


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replaced_folder(target: Path, renaming: AbstractContextManager[None] | None = None) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that takes its place when the block ends well.

    Leftovers of killed runs are removed first. Between the two renames a kill leaves no folder at
    all, which is the state before the first run. ``renaming`` is entered for them alone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.{_RANDOM}.part"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        part.chmod(0o755)
        yield part
        _sync_tree(part)
        with renaming or nullcontext():
            _take_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_place(part: Path, target: Path) -> None:
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        os.rename(target, old / "old")
        os.rename(part, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(part, target)


def _sync_tree(folder: Path) -> None:
    """Flush the small files of a folder; large audio trees are flushed by the kernel in its time."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
