"""The ``alp`` command. Stages are imported when a command needs them, so that help comes at once."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.check import check
from alp_assets.commands.doctor import doctor
from alp_assets.commands.form import estimate, form
from alp_assets.commands.interop import export_app, import_app
from alp_assets.commands.models import models_app
from alp_assets.commands.options import DataOption, JsonOption, SetOption, overrides
from alp_assets.commands.pretrain import pretrain
from alp_assets.commands.report import report
from alp_assets.commands.serve import keys_app, serve
from alp_assets.commands.status import status
from alp_assets.commands.synth import synth, write_customer
from alp_assets.commands.train import train
from alp_assets.commands.versions import diff, history, init, snapshot
from alp_assets.commands.versions_change import gc as remove_unneeded
from alp_assets.commands.versions_change import prune, reproduce, restore, retire
from alp_assets.commands.weights import weights_app
from alp_assets.errors import AlpError

if TYPE_CHECKING:
    from alp_assets.params import Params
    from alp_assets.stages.package import PackageFolder
    from alp_assets.terminal import Terminal

app = typer.Typer(
    name="alp",
    help="From a factory's zip of machine recordings to an anomaly detector for every machine in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(weights_app, name="weights")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")

CustomerOption = Annotated[str, typer.Option("--customer", "-c", help="Whose package it is, for example acme.")]

REFUSED = 1
MISUSED = 2
CRASHED = 70
INTERRUPTED = 130


@app.command()
def demo(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Synthesize a customer package and onboard it."""
    from alp_assets.synth.customer import SynthSpec

    root, terminal = _begin(data, as_json)
    archive = root / "demo" / "factory.zip"
    made = write_customer(archive, SynthSpec(), terminal)
    # named after its content, because a package never changes and the synthetic customer may
    _onboard(root, archive, "demo", made.sha256[:8], {}, terminal, as_json)


app.command()(synth)


@app.command()
def onboard(
    archive: Annotated[Path, typer.Argument(help="The customer's zip.")],
    customer: CustomerOption,
    package: Annotated[str | None, typer.Option("--package", "-p", help="Default: the zip's name.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine for every section; default auto.")] = None,
    settings: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work a package through all stages: checked data, models, thresholds, scores, report."""
    from schemas.sections import SLUG

    root, terminal = _begin(data, as_json)
    if package is None and not SLUG.fullmatch(archive.stem):
        raise AlpError(
            f"{archive.name}: this cannot be the name of a package, which has small letters, digits and hyphens "
            "alone. Give one with --package, for example --package pump-2026-10."
        )
    chosen = overrides(settings) | ({"models.engine": engine} if engine else {})
    _onboard(root, archive, customer, package or archive.stem, chosen, terminal, as_json)


app.command()(form)
app.command()(estimate)
app.command()(check)


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="upload, metadata, quality, clips, ... report")],
    package: Annotated[str, typer.Argument(help="customer/package")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one stage of a package, as `dvc repro` does. Exit code 1 when the package fails its gate."""
    from alp_assets.stages.catalog import run_stage
    from alp_assets.stages.package import STAGES

    root, terminal = _begin(data, as_json)
    if name not in STAGES:
        raise AlpError(f"{name!r} is no stage; the stages are {', '.join(STAGES)}.")
    customer, _, rest = package.replace("__", "/", 1).partition("/")
    folder = _folder(root, customer, rest)
    with terminal.working():
        summary = run_stage(name, folder, _params(root, {}), terminal.progress(name))
    if as_json:
        _print_json(summary.as_json())
    else:
        terminal.told(summary)
    if not summary.passed:
        raise typer.Exit(REFUSED)


@app.command()
def score(
    clips: Annotated[list[Path], typer.Argument(help="Recordings to score.")],
    section: Annotated[str, typer.Option("--section", "-s", help="customer/machine_type/section_id")],
    settings: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score recordings with a section's champion model. Exit code 2 when some could not be scored."""
    from alp_assets.stages.single import score_file

    root, terminal = _begin(data, as_json)
    params = _params(root, overrides(settings))
    machine, rows, errors = _section(section), [], []
    for path in clips:
        try:
            rows += score_file(root, machine, path, params)
        except AlpError as error:
            errors.append(str(error))
    columns = ("recording", "offset_s", "score", "severity", "state", "decision", "alarm", "threshold")
    if rows and as_json:
        _print_json([vars(row) for row in rows])
    elif rows:
        terminal.table(f"{section}", columns, [[getattr(row, name) for name in columns] for row in rows])
    for text in dict.fromkeys(errors):  # what ails the section is the same for every recording
        terminal.error(text)
    if errors:
        raise typer.Exit(MISUSED)


app.command()(serve)
app.command()(report)
app.command()(pretrain)
app.command()(train)
app.command()(init)
app.command()(snapshot)
app.command()(history)
app.command()(diff)
app.command()(restore)
app.command()(retire)
app.command()(reproduce)
app.command("gc")(remove_unneeded)
app.command()(prune)
app.command()(status)
app.command()(doctor)


@app.command()
def home(data: DataOption = None) -> None:
    """Print the Dagster instance folder of the data root, made and configured when it is not there."""
    from alp_assets.home import home_of

    root, _ = _begin(data, as_json=False)
    place = home_of(root)
    if not (place / "dagster.yaml").exists():
        from alp_assets.assets.instance import ready_home

        place = ready_home(root)
    typer.echo(place)


@app.command()
def version() -> None:
    """Print the version."""
    from alp_assets.version import code_version

    typer.echo(f"alp {code_version()}")


def main() -> None:
    """Run the command; what goes wrong is told in words, with the trace only where ALP_DEBUG is set."""
    from alp_assets.watch.logs import set_up

    set_up()
    # the interpreter would spend over a second on taking the heap apart at its end
    atexit.register(gc.freeze)
    try:
        app()
    except AlpError as error:
        _complain(str(error))
        sys.exit(MISUSED)
    except KeyboardInterrupt:
        _complain("Interrupted. Run the same command again to go on.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("ALP_DEBUG"):
            raise
        _complain(f"{type(error).__name__}: {' '.join(str(error).split())}. Set ALP_DEBUG=1 to see where.")
        sys.exit(CRASHED)


def _complain(text: str) -> None:
    """Say what went wrong where the user looks: in the terminal, or as a line of the log."""
    from alp_assets.watch import logs

    if logs.wanted():
        logging.getLogger("alp").error(text)
        return
    from alp_assets.terminal import Terminal  # imports pandas, which a quick command does without

    Terminal().error(text)


def _begin(data: Path | None, as_json: bool) -> tuple[Path, Terminal]:
    """The data root, also for everything that this process starts, and the terminal to tell it in."""
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal

    return open_root(data), Terminal(quiet=as_json)


def _params(root: Path, given: dict[str, Any]) -> Params:
    from alp_assets.params import load_params, with_overrides

    return with_overrides(load_params(root), given)


def _folder(root: Path, customer: str, package: str) -> PackageFolder:
    from alp_assets.stages.package import PackageFolder

    return PackageFolder(root, customer, package)


def _section(text: str) -> Any:
    from schemas.sections import Section

    try:
        return Section.parse(text)
    except ValueError as error:
        raise AlpError(str(error)) from error


def _onboard(
    root: Path,
    archive: Path,
    customer: str,
    package: str,
    chosen: dict[str, Any],
    terminal: Terminal,
    as_json: bool,
) -> None:
    from alp_assets.onboarding import onboard as run
    from alp_assets.stages.rejection import LETTER_FILES

    folder = _folder(root, customer, package)
    if not archive.is_file():
        raise AlpError(f"{archive}: no such file.")
    _params(root, chosen)
    with terminal.working():
        done = run(folder, archive, chosen, terminal.told, terminal.progress)
    if as_json:
        _print_json(_as_json(folder, done.success, done.reasons, done.run_id))
    elif done.success:
        _show_result(folder, terminal)
    if not done.success:
        for reason in done.reasons:
            terminal.error(reason)
        for language, name in LETTER_FILES.items():
            if (letter := folder.stage("rejected") / name).is_file():
                terminal.say(f"The letter to the customer ({language}): {letter}")
        raise typer.Exit(REFUSED)


def _show_result(folder: PackageFolder, terminal: Terminal) -> None:
    from alp_assets.stages.scores import read_metrics

    columns = ("machine", "engine", "threshold", "flagged", "normals flagged", "AUC")
    rows, notes = [], []
    for entry in read_metrics(folder)["sections"]:
        observed = entry.get("observed")
        rows.append(
            [
                f"{entry['machine_type']}/{entry['section_id']}",
                entry.get("engine"),
                entry.get("threshold"),
                f"{entry['flagged']} of {entry['test_clips']}" if "flagged" in entry else None,
                f"{observed['rate']:.0%} (promised {entry['promised_false_alarm_rate']:.0%})"
                if observed
                else None,
                entry.get("auc"),
            ]
        )
        notes.append(entry.get("reason") or entry.get("promise_note") or entry.get("note"))
    terminal.table(f"{folder.customer}/{folder.package}", columns, rows)
    for row, note in zip(rows, notes, strict=True):
        if note:
            terminal.say(f"{row[0]}: {note}")
    if not any(row[1] for row in rows):
        terminal.say("No machine could be scored; the note says what is missing.")
    terminal.say(f"Scores: {folder.stage('scores') / 'scores.csv'}")
    terminal.say(f"Report: {folder.stage('report') / 'report.html'}")


def _as_json(folder: PackageFolder, success: bool, reasons: tuple[str, ...], run_id: str) -> dict[str, Any]:
    from alp_assets.stages.scores import read_metrics

    found: dict[str, Any] = {"package": folder.key, "success": success, "reasons": reasons, "run_id": run_id}
    if success:
        found |= {"report": str(folder.stage("report") / "report.html"), "metrics": read_metrics(folder)}
    return found


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
