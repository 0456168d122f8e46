"""What drills leave behind: a table in the terminal, JSON, and a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alp_assets.files import read_json, write_bytes, write_json
from alp_assets.params import PROJECT
from drills.verdict import Drill, Result

KEPT = PROJECT / "drills" / "results.json"
PAGE = PROJECT / "docs" / "drills.md"
_COLOURS = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
_WIDTH = 140
_SHOWN = 400

_INTRODUCTION = """\
# Faults and what becomes of a package

`make drill` makes each of these faults on a small package, and looks at what is left. `make drill ARGS="--list"`
lists them; `make drill ARGS="disk-full clock-run"` makes some (names, or their beginnings). The exit code is 1
when one fails. A drill that a machine does not allow (mounting and host names need root; the cluster needs
PostgreSQL and Redis) is skipped and says so. This page is written by `make drill`.

The faults are real, but for the clock's: the machine's clock is never touched. In `clock-dagster` a real
`dagster dev` with its daemon, code server and runs is started, whose Python code is told a time two days ahead
(`time.time` is replaced, and in the daemon Dagster's own look at the time; gRPC, databases and files keep the
machine's); the jump back is the end of that. In `clock-run`, `clock-inbox`, `clock-freshness` and `clock-cache`
functions of ALP are called in a process in which `time.time`, and where it matters `datetime.now`, tell two days
less.

Where a Dagster run is spoken of, it is one of the job `onboard` in a real `dagster dev`: queued, launched into a
process of its own and watched as on any machine. Its end is Dagster's: success, or a failure in words that the
daemon has seen and does not try again. The second try is a run of the whole job there.

After every drill that leaves a package behind, the same is checked:

- The zip that was sent is the zip that was kept, byte for byte.
- Every finished stage is whole by its manifest; none is there by half, and no temporary folder is left.
- The run has ended by itself. Dagster tries crashed runs again, twice at most, and failed ones never.
- A second try gives, byte for byte, the stages, models and scores of a run that nobody disturbed, and the machine
  has one champion, which is whole.

"""


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    table = Table(title="Drills", title_justify="left", header_style="bold", show_lines=True)
    for column in ("drill", "what was done", "what was seen"):
        table.add_column(column, overflow="fold")
    table.add_column("s", justify="right")
    table.add_column("verdict")
    for item in results:
        cells = [item.drill, item.done, _short(item.seen), f"{item.seconds:.1f}"]
        table.add_row(*map(Text, cells), Text(item.verdict, _COLOURS[item.verdict]))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=_WIDTH)).print(table)


def keep(results: Sequence[Result], drills: Sequence[Drill], kept: Path = KEPT, page: Path = PAGE) -> None:
    """Write the last result of every drill there is; those that were not made this time stay as they were."""
    before = {name: Result(**values) for name, values in read_json(kept).items()} if kept.exists() else {}
    made = before | {item.drill: item for item in results}
    ordered = {drill.name: made[drill.name] for drill in drills if drill.name in made}
    write_json(kept, {name: asdict(item) for name, item in ordered.items()})
    write_bytes(page, _page(ordered).encode())


def _page(results: Mapping[str, Result]) -> str:
    lines = ["| drill | what was done | what was seen | s | verdict | day |", "|---|---|---|---:|---|---|"]
    for item in results.values():
        cells = (item.drill, item.done, _short(item.seen), f"{item.seconds:.1f}", item.verdict, item.date)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    machines = sorted({item.machine for item in results.values()})
    return f"{_INTRODUCTION}{chr(10).join(lines)}\n\nMachine: {'; '.join(machines)}.\n"


def _short(text: str) -> str:
    """One line, without where the temporary folder was."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 1]}…"
