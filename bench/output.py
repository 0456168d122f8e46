"""What a bench leaves behind: a table for people, and JSON that says on which machine it was made."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alp_assets.files import write_json

RESULTS = Path(__file__).parent / "results"
_LIBRARIES = (
    "dagster",
    "dvc",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "soundfile",
    "soxr",
    "great-expectations",
)
_WIDTH = 120


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def say(text: str) -> None:
    """Print a line."""
    _console().print(Text(text), soft_wrap=True)


def save(name: str, figures: Mapping[str, Any]) -> Path:
    """Write ``bench/results/<name>.json`` and say so."""
    path = RESULTS / f"{name}.json"
    write_json(path, {**figures, "date": date.today().isoformat(), "machine": machine()})
    say(f"{path}")
    return path


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores that may be used, memory, versions, and the load now."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def _console() -> Console:
    """The standard output, wide enough for a table where it is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDTH)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
