"""``alp doctor``: is all there that ALP needs?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from alp_assets.commands.options import DataOption, JsonOption

if TYPE_CHECKING:
    from rich.text import Text

    from alp_assets.watch.doctor.finding import Finding

_PROBLEM = 1
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Look at versions, rights, disk, database, broker, weights and clock. Exit code 1 when there is a problem."""
    from alp_assets.home import data_root
    from alp_assets.watch.doctor.visit import visit

    if data is not None:
        os.environ["ALP_DATA"] = str(data)
    findings = visit(data_root())  # not open_root: what that refuses is a finding here
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in findings], ensure_ascii=False, indent=2))
    else:
        _show(findings)
    if any(item.state == "problem" for item in findings):
        raise typer.Exit(_PROBLEM)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console

    from alp_assets.commands.lines import show

    console = Console(highlight=False)
    show(console, "", ("what", "state", "found"), [_row(item) for item in findings])
    counts = {state: sum(item.state == state for item in findings) for state in _STYLES}
    console.print(f"{counts['ok']} ok, {counts['warning']} to look at, {counts['problem']} to mend.", style="bold")


def _row(item: Finding) -> list[str | Text]:
    from rich.text import Text

    from alp_assets.commands.lines import plain

    found = Text(plain(item.found))
    if item.fix:
        found.append(f"\n→ {plain(item.fix)}", style="italic")
    return [item.what, Text(item.state, style=_STYLES[item.state]), found]
