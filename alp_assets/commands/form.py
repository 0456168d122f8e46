"""``alp form`` and ``alp estimate``: what to ask a customer for, and what it comes to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.errors import ParameterError

if TYPE_CHECKING:
    from alp_assets.estimate import Estimate
    from alp_assets.params import Params
    from alp_assets.terminal import Terminal
    from schemas.texts import Language

MachinesArgument = Annotated[
    str, typer.Argument(help="Machine types, separated by commas: fan,valve.", metavar="TYPES")
]

SignalsOption = Annotated[
    bool, typer.Option("--signals", help="Motor current, flux and vibration instead of sound.")
]


def form(
    machines: MachinesArgument,
    signals: SignalsOption = False,
    language: Annotated[str, typer.Option("--lang", help="Language of the form: en or ko.")] = "ko",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("form"),
    replace: Annotated[bool, typer.Option("--replace", help="Write over forms that are there.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the collection form of each machine type: a one-page checklist and the spreadsheet to fill in."""
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.report.form import read_machine_types, write_forms
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    spoken, chosen = _known_language(language, "forms"), read_machine_types(machines)
    params, progress = load_params(root), terminal.progress("form")
    with terminal.working():
        written = write_forms(chosen, spoken, out, params, signals=signals, replace=replace, progress=progress)
    if as_json:
        _print_json({"files": written.files, "no_pdf": written.no_pdf})
        return
    for file in written.files:
        terminal.say(str(file))
    if written.no_pdf:
        terminal.say(f"No PDF: {written.no_pdf} Open checklist.html in a browser and print it; it is one A4 page.")


def estimate(
    machines: MachinesArgument,
    signals: SignalsOption = False,
    sections: Annotated[int, typer.Option(help="Machines of each type.")] = 1,
    conditions: Annotated[int, typer.Option(help="Conditions that each machine is recorded in.")] = 3,
    minutes: Annotated[float, typer.Option(help="Minutes of each condition.")] = 3.0,
    recordings: Annotated[int, typer.Option(help="Files that those minutes come in.")] = 1,
    noise_minutes: Annotated[float, typer.Option(help="Minutes of background noise of each machine.")] = 0.0,
    rate: Annotated[
        int | None, typer.Option(help="Sample rate of the files in Hz.", show_default="16000; signals 10000")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Channels of the files.", show_default="1; signals 4")
    ] = None,
    bits: Annotated[
        str,
        typer.Option(
            help="Bits a sample: 16, 24 or 32; of signals also 64, or csv.", show_default="16; signals 32"
        ),
    ] = "",
    language: Annotated[str, typer.Option("--lang", help="Language of the texts: en or ko.")] = "en",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work out clips, hours, storage, possible engines and computing time of a planned delivery."""
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.report.form import read_machine_types
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    spoken, params = _known_language(language, "estimates"), load_params(root)
    types = read_machine_types(machines)
    counts: dict[str, Any] = {"sections": sections, "conditions": conditions, "recordings": recordings}
    if rate is not None:
        counts["sample_rate_hz"] = rate
    if channels is not None:
        counts["channels"] = channels
    if signals:
        found = _of_signals(types, counts, minutes, noise_minutes, bits, params, spoken)
    else:
        found = _of_sound(types, counts, minutes, noise_minutes, bits, params, root, spoken)
    if as_json:
        _print_json(_as_json(found))
    else:
        _show(found, terminal, spoken, params.signals.clip_points if signals else 0)


def _of_sound(
    types: tuple[str, ...],
    counts: dict[str, Any],
    minutes: float,
    noise_minutes: float,
    bits: str,
    params: Params,
    root: Path,
    language: Language,
) -> Estimate:
    from alp_assets.encoders.catalog import resolve_encoder
    from alp_assets.estimate import Plan
    from alp_assets.estimate import estimate as worked_out

    if bits and not bits.isdecimal():
        raise ParameterError(f"--bits {bits}: of sound it is 16, 24 or 32.")
    plan = Plan(types, minutes=minutes, noise_minutes=noise_minutes, bits=int(bits or 16), **counts)
    return worked_out(plan, params, resolve_encoder(params.embeddings, root), language)


def _of_signals(
    types: tuple[str, ...],
    counts: dict[str, Any],
    minutes: float,
    noise_minutes: float,
    bits: str,
    params: Params,
    language: Language,
) -> Estimate:
    from alp_assets.estimate import SignalPlan, estimate_signals

    if noise_minutes:
        raise ParameterError("--noise-minutes is for sound; signals have no background to record alone.")
    return estimate_signals(SignalPlan(types, minutes=minutes, bits=bits or "32", **counts), params, language)


def _known_language(language: str, what: str) -> Language:
    from schemas.texts import LANGUAGES

    chosen = next((known for known in LANGUAGES if known == language), None)
    if chosen is None:
        raise ParameterError(f"--lang {language}: {what} are written in {' and '.join(LANGUAGES)}.")
    return chosen


def _show(found: Estimate, terminal: Terminal, language: Language, points: int) -> None:
    """Print an estimate; ``points`` are those of a clip of signals, 0 for sound."""
    from alp_assets.audio.standardize import CLIP_SECONDS
    from alp_assets.estimate import SignalPlan
    from schemas.texts import read_texts

    texts = read_texts("estimate", language)
    words, plan, columns = texts["table"], found.plan, (found.machine, found.total)
    all_machines = words["machine"] if plan.machines == 1 else words["machines"].format(count=plan.machines)
    clips = words["clips"].format(seconds=CLIP_SECONDS)
    if isinstance(plan, SignalPlan):
        clips = texts["signals"]["clips"].format(points=points, seconds=points / plan.sample_rate_hz)
    rows = [
        [clips, *(f"{amount.clips:,}" for amount in columns)],
        [words["hours"], *(f"{amount.hours:,.2f}" for amount in columns)],
        [words["raw"], *(_megabytes(amount.raw_bytes) for amount in columns)],
        [words["standard"], *(_megabytes(amount.standard_bytes) for amount in columns)],
        [words["compute"], "", words["about"].format(time=_duration(found.compute_s, words))],
    ]
    names = read_texts("form", language)["machines"]
    title = ", ".join(names[name]["name"] for name in plan.machine_types)
    terminal.table(title, ("", words["each"], all_machines), rows)
    said = texts["engines"]
    engines = [
        [
            f"{engine.letter}  {engine.engine}",
            said["yes" if engine.possible else "no"],
            said["auto"] * engine.automatic,
            engine.note,
        ]
        for engine in found.engines
    ]
    heads = [said[name] for name in ("engine", "possible", "taken", "note")]
    terminal.table(said["title"], heads, engines)
    terminal.say(texts["basis"]["line"].format(encoder=found.encoder, basis=found.basis))
    for warning in found.warnings:
        terminal.say(warning)


def _as_json(found: Estimate) -> dict[str, Any]:
    tree = asdict(found)
    for name, amount in (("machine", found.machine), ("total", found.total)):
        tree[name]["clips"] = amount.clips
    return {**tree, "machines": found.plan.machines}


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.2f} MB"


def _duration(seconds: float, words: Any) -> str:
    if seconds < 90:
        return str(words["seconds"].format(count=seconds))
    minutes = seconds / 60
    return str(
        words["minutes"].format(count=minutes) if minutes < 90 else words["long"].format(count=minutes / 60)
    )


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
