"""The ``alp`` command. Stages are imported when a command needs them, so that help comes at once."""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.cli_weights import weights_app
from alp_assets.errors import AlpError

if TYPE_CHECKING:
    from alp_assets.params import Params
    from alp_assets.stages.package import PackageFolder
    from alp_assets.terminal import Terminal
    from schemas.problems import Problem

app = typer.Typer(
    name="alp",
    help="From a factory's zip of machine recordings to an anomaly detector for every machine in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(weights_app, name="weights")

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data root; default $ALP_DATA, else data/ of the checkout.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of tables.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter, as name=value; see params.yaml.", metavar="NAME=VALUE"),
]
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
    made = _synthesize(archive, SynthSpec(), terminal)
    # named after its content, because a package never changes and the synthetic customer may
    _onboard(root, archive, "demo", made["sha256"][:8], {}, terminal, as_json)


@app.command()
def synth(
    target: Annotated[Path, typer.Argument(help="The zip to write.")],
    machines: Annotated[str | None, typer.Option(help="Machine types, separated by commas.")] = None,
    sections: Annotated[int | None, typer.Option(help="Machines of each type.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the package of a synthetic customer. Defaults are `synth` of params.yaml."""
    from alp_assets.params import load_params
    from alp_assets.synth.customer import spec_from

    root, terminal = _begin(data, as_json)
    chosen = {
        "machines": machines.split(",") if machines else None,
        "sections_per_machine": sections,
        "seed": seed,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    made = _synthesize(target, spec_from({**load_params(root).synth, **given}), terminal)
    if as_json:
        _print_json(made)


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
    overrides = _overrides(settings) | ({"models.engine": engine} if engine else {})
    _onboard(root, archive, customer, package or archive.stem, overrides, terminal, as_json)


@app.command()
def check(
    archive: Annotated[Path, typer.Argument(help="The zip to check.")],
    settings: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check table and recordings of a package without onboarding it. Exit code 1 when there are problems."""
    from alp_assets.stages.rejection import known_problems
    from alp_assets.stages.summary import counted

    root, terminal = _begin(data, as_json)
    params = _params(root, _overrides(settings) | {"quality.data_docs": False})
    with tempfile.TemporaryDirectory(prefix="alp-check-") as scratch, terminal.working():
        folder = _folder(Path(scratch), "check", "package")
        passed = _run_checks(folder, archive, params, terminal)
        problems = sorted(known_problems(folder), key=lambda problem: problem.row or 0)
        problems += _too_few_normals(folder, params) if passed else []
    serious = [problem for problem in problems if problem.severity != "warning"]
    if as_json:
        _print_json({"passed": passed, "problems": [vars(problem) for problem in problems]})
    elif problems:
        _problem_table(terminal, problems)
    if not as_json:
        terminal.say(
            f"{counted(len(serious), 'problem')} and {counted(len(problems) - len(serious), 'warning')}"
            if problems
            else "No problems. The package can be sent as it is."
        )
    if serious or not passed:
        raise typer.Exit(REFUSED)


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
    params = _params(root, _overrides(settings))
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


@app.command()
def home(data: DataOption = None) -> None:
    """Print the Dagster instance folder of the data root, made and configured when it is not there."""
    from alp_assets.home import dagster_home

    root, _ = _begin(data, as_json=False)
    typer.echo(dagster_home(root))


@app.command()
def version() -> None:
    """Print the version."""
    from alp_assets.version import code_version

    typer.echo(f"alp {code_version()}")


def main() -> None:
    """Run the command; what goes wrong is told in words, with the trace only where ALP_DEBUG is set."""
    from alp_assets.terminal import Terminal

    # the interpreter would spend over a second on taking the heap apart at its end
    atexit.register(gc.freeze)
    try:
        app()
    except AlpError as error:
        Terminal().error(str(error))
        sys.exit(MISUSED)
    except KeyboardInterrupt:
        Terminal().error("Interrupted. Run the same command again to go on.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("ALP_DEBUG"):
            raise
        Terminal().error(f"{type(error).__name__}: {' '.join(str(error).split())}. Set ALP_DEBUG=1 to see where.")
        sys.exit(CRASHED)


def _begin(data: Path | None, as_json: bool) -> tuple[Path, Terminal]:
    """The data root, also for everything that this process starts, and the terminal to tell it in."""
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal

    return open_root(data), Terminal(quiet=as_json)


def _params(root: Path, overrides: dict[str, Any]) -> Params:
    from alp_assets.params import load_params, with_overrides

    return with_overrides(load_params(root), overrides)


def _folder(root: Path, customer: str, package: str) -> PackageFolder:
    from alp_assets.stages.package import PackageFolder

    return PackageFolder(root, customer, package)


def _section(text: str) -> Any:
    from schemas.sections import Section

    try:
        return Section.parse(text)
    except ValueError as error:
        raise AlpError(str(error)) from error


def _overrides(settings: list[str] | None) -> dict[str, Any]:
    import yaml

    found = {}
    for setting in settings or []:
        name, separator, value = setting.partition("=")
        if not separator:
            raise AlpError(f"--set {setting}: write it as name=value, for example decision.false_alarm_rate=0.05.")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise AlpError(
                f"--set {setting}: the value cannot be read as YAML; put quotes around text."
            ) from error
    return found


def _synthesize(target: Path, spec: Any, terminal: Terminal) -> dict[str, Any]:
    from dataclasses import asdict

    from alp_assets.synth.customer import synthesize

    target.parent.mkdir(parents=True, exist_ok=True)
    with terminal.working():
        made = synthesize(target, spec, terminal.progress("synth"))
    terminal.say(
        f"{target}: {made.recordings} recordings of {made.sections} machines, {made.seconds / 60:.0f} min"
    )
    return asdict(made)


def _run_checks(folder: PackageFolder, archive: Path, params: Params, terminal: Terminal) -> bool:
    from alp_assets.stages.metadata import metadata
    from alp_assets.stages.quality import quality
    from alp_assets.stages.upload import upload

    upload(folder, params, terminal.progress("upload"), archive=archive)
    for check_stage in (metadata, quality):
        if not check_stage(folder, params, terminal.progress(check_stage.__name__)).passed:
            return False
    return True


def _too_few_normals(folder: PackageFolder, params: Params) -> list[Problem]:
    """Machines that could only be scored with the model of an earlier package."""
    from alp_assets.stages.quality import OK, read_quality
    from schemas.problems import Problem

    problems = []
    for (machine_type, section_id), rows in read_quality(folder).groupby(["machine_type", "section_id"]):
        normals = int(((rows["split"] == "train") & (rows["verdict"] == OK)).sum())
        if normals < params.models.min_normals:
            text = f"{machine_type}/{section_id}: usable normal recordings for training: {normals}."
            remedy = "Send 3 to 10, unless an earlier package had this machine."
            problems.append(Problem("warning", text, remedy, column="section_id", value=str(section_id)))
    return problems


def _onboard(
    root: Path,
    archive: Path,
    customer: str,
    package: str,
    overrides: dict[str, Any],
    terminal: Terminal,
    as_json: bool,
) -> None:
    from alp_assets.onboarding import onboard as run

    folder = _folder(root, customer, package)
    if not archive.is_file():
        raise AlpError(f"{archive}: no such file.")
    _params(root, overrides)
    with terminal.working():
        done = run(folder, archive, overrides, terminal.told, terminal.progress)
    if as_json:
        _print_json(_as_json(folder, done.success, done.reasons, done.run_id))
    elif done.success:
        _show_result(folder, terminal)
    if not done.success:
        for reason in done.reasons:
            terminal.error(reason)
        letter = folder.stage("rejected") / "letter.html"
        if letter.is_file():
            terminal.say(f"The letter to the customer: {letter}")
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


def _problem_table(terminal: Terminal, problems: list[Problem]) -> None:
    columns = ("row", "column", "value", "file", "severity", "problem", "remedy")
    terminal.table("Problems", columns, [[getattr(item, name) for name in columns] for item in problems])


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
