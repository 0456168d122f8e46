"""``alp status``: what goes on, what waits, what went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from alp_assets.commands.options import DataOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from alp_assets.watch.look import Look

_SHOWN = 10


def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Packages by state, what runs, what waits longest, the latest failures, models, customers and disk."""
    from alp_assets.home import chosen_root
    from alp_assets.params import load_params
    from alp_assets.watch.look import Looker
    from alp_assets.watch.status import as_json as told

    root = chosen_root(data)
    look = Looker(root, load_params(root)).look()
    if as_json:
        typer.echo(json.dumps(told(look, root), ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    _show_counts(console, look, root)
    _show_running(console, look)
    _show_troubles(console, look, root)
    _show_customers(console, look)
    for part, text in look.problems.items():
        console.print(f"{part}: {text}", style="yellow", markup=False, soft_wrap=True)


def _show_counts(console: Console, look: Look, root: Path) -> None:
    from alp_assets.commands.lines import ago, show, size
    from alp_assets.stages.summary import counted

    counts = {state: count for state, count in look.by_state.items() if count}
    oldest = look.oldest_waiting
    total, free, taken = look.disk
    models, notices = look.models, look.notices
    rows = [["packages", ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "none"]]
    if oldest:
        rows.append(["waiting longest", f"{oldest.key}, for {ago(look.queue_age_s)}"])
    if models:
        kinds = [counted(models[kind], kind) for kind in ("champion", "candidate")]
        rows.append(["models", ", ".join([*kinds, f"{models['archived']:,} archived"])])
    overdue = f", {len(look.overdue):,} silent for too long" if look.overdue else ""
    rows.append(["customers", f"{len(look.customers):,}{overdue}"])
    rows.append(["disk", f"packages take {size(taken)}; {size(free)} free of {size(total)}"])
    if any((notices.waiting, notices.undelivered, notices.dropped)):
        rows.append(["notices", str(notices)])
    show(console, str(root), ("what", "found"), rows)


def _show_running(console: Console, look: Look) -> None:
    from alp_assets.commands.lines import ago, show
    from alp_assets.watch.status import running, stage_of

    found = running(look)
    rows = [
        [package.key, stage_of(package), ago(look.at - run.began) if run else "", run.id[:8] if run else ""]
        for package, run in found[:_SHOWN]
    ]
    if rows:
        show(console, _counted("Running", len(found)), ("package", "stage", "for", "run"), rows)


def _show_troubles(console: Console, look: Look, root: Path) -> None:
    from alp_assets.commands.lines import local_time, show
    from alp_assets.watch.status import troubles

    found = troubles(look, root, _SHOWN)
    count = sum(look.by_state[state] for state in ("refused", "failed", "stopped"))
    if found:
        rows = [[item.package, item.state, local_time(item.at), item.why] for item in found]
        show(console, _counted("Did not get through", count), ("package", "state", "when", "why"), rows)


def _show_customers(console: Console, look: Look) -> None:
    from alp_assets.commands.lines import local_time, show

    rows = [
        [
            item.customer,
            f"{item.packages:,}",
            local_time(item.last),
            f"{item.silent_days:,.0f} days; "
            + (f"every {item.usual_days:,.1f} is usual, " if (item.usual_days or 0.0) >= 0.1 else "")
            + f"{item.allowed_days or 0:,.0f} are allowed",
        ]
        for item in look.overdue[:_SHOWN]
    ]
    if rows:
        title = _counted("Silent for too long", len(look.overdue))
        show(console, title, ("customer", "packages", "last", "silent for"), rows)


def _counted(title: str, count: int) -> str:
    return f"{title} (the first {_SHOWN} of {count:,})" if count > _SHOWN else title
