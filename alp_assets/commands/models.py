"""``alp models``: the versions of the registry, compared, promoted and handed on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.errors import AlpError

if TYPE_CHECKING:
    from alp_assets.registry.records import Version
    from alp_assets.registry.registry import Registry
    from alp_assets.terminal import Terminal
    from schemas.sections import Section

models_app = typer.Typer(help="Model versions: listed, compared, promoted, handed on.", no_args_is_help=True)

_INCOMPLETE = 1
_WIDE, _FOR_WIDE = 120, ("id", "normals", "created")
"""Characters of a terminal that has room for these columns of the list too."""

ModelArgument = Annotated[
    str, typer.Argument(help="Name or id, as `alp models list` shows them.", metavar="MODEL")
]
SectionArgument = Annotated[str, typer.Argument(help="customer/machine_type/section_id", metavar="SECTION")]


def _me() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown"


WhoOption = Annotated[str, typer.Option("--who", help="Who decides; by default you.", default_factory=_me)]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, kept in the history.")]


@models_app.command("list")
def list_models(
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    machine_type: Annotated[str | None, typer.Option(help="Only of this machine type.")] = None,
    section: Annotated[str | None, typer.Option(help="Only of this section id.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only of this engine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only candidate, champion or archived ones.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List models, the champions first."""
    from alp_assets.commands.lines import local_time
    from alp_assets.registry.exchange import registry_json
    from alp_assets.registry.records import State

    if state is not None and state not in list(State):
        raise AlpError(f"{state!r} is no state; the states are {', '.join(State)}.")
    registry, terminal = _open(data, as_json)
    found = registry.find(
        customer=customer, machine_type=machine_type, section_id=section, engine=engine, state=state
    )
    if as_json:
        _print_json(registry_json(found))
        return
    if not found:
        terminal.say("No such model. `alp onboard` and `alp train` make some.")
        return
    rows = [
        {
            "name": item.name,
            "id": item.version,
            "section": str(item.section),
            "state": _state(item),
            "engine": item.engine,
            "normals": item.clips,
            "AUC": item.metrics.get("auc"),
            "threshold": registry.threshold(item.version),
            "created": local_time(item.created_at),
        }
        for item in found
    ]
    narrow = terminal.console.is_terminal and terminal.console.width < _WIDE
    columns = [name for name in rows[0] if not (narrow and name in _FOR_WIDE)]
    terminal.table("Models", columns, [[row[name] for name in columns] for row in rows])
    if narrow:
        terminal.say(f"A wider terminal, or --json, shows {', '.join(_FOR_WIDE)} too.")


@models_app.command()
def show(model: ModelArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of a model."""
    from alp_assets.commands.lines import local_time

    registry, terminal = _open(data, as_json)
    found = registry.get(model)
    thresholds = registry.thresholds(found.version)
    if as_json:
        _print_json({**_as_json(found), "thresholds": [asdict(item) for item in thresholds]})
        return
    rows = [[name, _cell(value)] for name, value in _facts(found, registry).items()]
    terminal.table(found.name, ("", ""), rows)
    if len(thresholds) > 1:
        columns = ("number", "value", "by", "at", "note")
        rows = [[item.number, item.value, item.who, local_time(item.at), item.note] for item in thresholds]
        terminal.table("Thresholds", columns, rows)


@models_app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Two models or more.", metavar="MODEL MODEL...")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare models: figures, calibration, threshold, and the parameters in which they differ."""
    if len(models) < 2:
        raise AlpError("Name two models or more to compare.")
    registry, terminal = _open(data, as_json)
    found = [registry.get(name) for name in models]
    facts = [_compared(item, registry) for item in found]
    parameters = [_flat(item.parameters) for item in found]
    differing = {
        name: [tree.get(name) for tree in parameters]
        for name in dict.fromkeys(name for tree in parameters for name in tree)
        if len({json.dumps(tree.get(name), sort_keys=True) for tree in parameters}) > 1
    }
    if as_json:
        shown = [{"id": item.version, "name": item.name, **fact} for item, fact in zip(found, facts, strict=True)]
        _print_json({"models": shown, "parameters": differing})
        return
    columns = ("", *(item.name for item in found))
    names = dict.fromkeys(name for fact in facts for name in fact)
    terminal.table("Models", columns, [[name, *(_cell(fact.get(name)) for fact in facts)] for name in names])
    if differing:
        terminal.table(
            "Parameters", columns, [[name, *map(_cell, values)] for name, values in sorted(differing.items())]
        )
    else:
        terminal.say("They were fitted with the same parameters.")


@models_app.command()
def promote(
    model: ModelArgument, who: WhoOption, why: WhyOption = "", data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Make a model its section's champion."""
    registry, terminal = _open(data, as_json)
    _tell(registry.promote(model, who, why), terminal, as_json)


@models_app.command()
def rollback(
    section: SectionArgument,
    who: WhoOption,
    why: WhyOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the champion before the present one."""
    registry, terminal = _open(data, as_json)
    _tell(registry.rollback(_section(section), who, why), terminal, as_json)


@models_app.command()
def pin(
    model: ModelArgument, who: WhoOption, why: WhyOption = "", data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Make a model the champion and keep it so, whatever comes."""
    registry, terminal = _open(data, as_json)
    _tell(registry.pin(model, who, why), terminal, as_json)


@models_app.command()
def unpin(
    section: SectionArgument,
    who: WhoOption,
    why: WhyOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let later models take the section over again."""
    registry, terminal = _open(data, as_json)
    _tell(registry.unpin(_section(section), who, why), terminal, as_json)


@models_app.command()
def archive(
    model: ModelArgument, who: WhoOption, why: WhyOption = "", data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Take a model out of use. Its files stay."""
    registry, terminal = _open(data, as_json)
    _tell(registry.archive(model, who, why), terminal, as_json)


@models_app.command(context_settings={"ignore_unknown_options": True})  # a value may begin with a minus
def threshold(
    model: ModelArgument,
    value: Annotated[float, typer.Argument(help="Scores above it are alarms, from now on.")],
    who: WhoOption,
    why: WhyOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a model another threshold."""
    registry, terminal = _open(data, as_json)
    found = registry.get(model)
    saved = registry.save_threshold(found.version, value, why, who)
    if as_json:
        _print_json(asdict(saved))
    else:
        terminal.say(f"{found.name} of {found.section} rings above {saved.value:.6g} from now on.")


@models_app.command()
def describe(
    model: ModelArgument,
    text: Annotated[str, typer.Argument(help="What it is, for people.")],
    who: WhoOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a model is."""
    registry, terminal = _open(data, as_json)
    _tell(registry.describe(model, text, who), terminal, as_json)


@models_app.command()
def history(
    of: Annotated[
        str | None, typer.Argument(help="A model, or customer/machine_type/section_id; by default all.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who decided what, and why; the latest first."""
    from alp_assets.commands.lines import local_time

    registry, terminal = _open(data, as_json)
    section = _section(of) if of and "/" in of else None
    events = registry.history(section, None if section else of)
    if as_json:
        _print_json([asdict(event) for event in events])
        return
    if not events:
        terminal.say("Nothing was decided yet.")
        return
    names = {item.version: item.name for item in registry.find()}
    columns = ("at", "who", "what", "model", "before", "after", "why")
    rows = [
        [
            local_time(event.at),
            event.who,
            event.what.replace("_", " "),
            names.get(event.version, event.version),
            event.before,
            event.after,
            event.why,
        ]
        for event in events
    ]
    terminal.table("History", columns, rows)


@models_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must not be there yet.")],
    models: Annotated[
        list[str] | None, typer.Argument(help="By default all champions.", metavar="[MODEL]...")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write models as registry.json, weight files and what is known of each."""
    from alp_assets.registry.exchange import export_models
    from alp_assets.registry.records import State

    registry, terminal = _open(data, as_json)
    chosen = [registry.get(name) for name in models] if models else registry.find(state=State.CHAMPION)
    if not chosen:
        raise AlpError("There is no model to export.")
    chosen = list({item.version: item for item in chosen}.values())
    files = export_models(registry, chosen, out)
    if as_json:
        _print_json({"models": [item.name for item in chosen], "files": files})
    else:
        terminal.say(f"{out}: {len(chosen)} model{'s' * (len(chosen) != 1)} in {len(files)} files")


@models_app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="A folder with a registry.json.", metavar="DIR")],
    who: WhoOption,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over models that another ALP exported. Exit code 1 when some cannot be."""
    from alp_assets.engines.store import load_model
    from alp_assets.home import open_root
    from alp_assets.registry.intake import import_models

    registry, terminal = _open(data, as_json)
    taken = import_models(registry, source, open_root(data), who, load_model)
    if as_json:
        _print_json(
            [
                {"name": item.name, "problem": item.problem, "note": item.note}
                | ({"id": item.version.version, "state": item.version.state} if item.version else {})
                for item in taken
            ]
        )
    for item in taken:
        if item.version:
            note = f" ({item.note})" if item.note else ""
            terminal.say(
                f"{item.name}: {item.version.name} of {item.version.section}, {_state(item.version)}{note}"
            )
        else:
            terminal.error(f"{item.name}: not taken over. {item.problem}")
    if any(item.problem for item in taken):
        raise typer.Exit(_INCOMPLETE)


def _open(data: Path | None, as_json: bool) -> tuple[Registry, Terminal]:
    from alp_assets.home import open_root
    from alp_assets.registry.registry import Registry
    from alp_assets.terminal import Terminal

    return Registry(open_root(data)), Terminal(quiet=as_json)


def _section(text: str) -> Section:
    from schemas.sections import Section

    try:
        return Section.parse(text)
    except ValueError as error:
        raise AlpError(str(error)) from error


def _tell(version: Version, terminal: Terminal, as_json: bool) -> None:
    if as_json:
        _print_json(_as_json(version))
    else:
        why = f": {version.reason}" if version.reason else ""
        terminal.say(f"{version.name} of {version.section} is {_state(version)}{why}")


def _state(version: Version) -> str:
    return f"{version.state}, pinned" if version.pinned else str(version.state)


def _facts(version: Version, registry: Registry) -> dict[str, Any]:
    return {
        "id": version.version,
        "section": str(version.section),
        "description": version.description,
        "reason": version.reason,
        **_compared(version, registry),
        "fitted on": f"{version.package}, received {version.received_at}",
        "normals of": ", ".join(version.packages),
        "normals (SHA-256)": version.data_hash,
        "weights of the encoder (SHA-256)": version.weights,
        "folder": str(version.folder),
        "bytes": version.bytes,
        "ALP": version.code_version,
    }


def _compared(version: Version, registry: Registry) -> dict[str, Any]:
    return {
        "state": _state(version),
        "engine": f"{version.engine} ({version.letter})" if version.letter else version.engine,
        "encoder": version.encoder,
        "created": version.created_at,
        "package": version.package,
        "normals": version.clips,
        "threshold": registry.threshold(version.version),
        **version.metrics,
        **{f"calibration {name}": value for name, value in version.calibration.items()},
    }


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A tree of parameters by dotted name."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) and value else {before + name: value}
    return found


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _as_json(version: Version) -> dict[str, Any]:
    return {**vars(version), "section": str(version.section), "folder": str(version.folder)}


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
