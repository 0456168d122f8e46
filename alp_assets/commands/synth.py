"""``alp synth``: the recordings of a synthetic customer, as a package or in the folders of DCASE Task 2."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alp_assets.commands.options import DataOption, JsonOption

if TYPE_CHECKING:
    from alp_assets.synth.customer import SynthSummary
    from alp_assets.synth.spec import SynthSpec
    from alp_assets.terminal import Terminal


class Form(StrEnum):
    """What is written."""

    PACKAGE = "package"
    DCASE = "dcase"


def synth(
    target: Annotated[Path, typer.Argument(help="The zip to write, or for dcase the folder.")],
    machines: Annotated[str | None, typer.Option(help="Machine types, separated by commas; default all.")] = None,
    sections: Annotated[int | None, typer.Option(help="Machines of each type.")] = None,
    scale: Annotated[float, typer.Option(help="How many recordings there are, 1 being the full shape.")] = 1.0,
    small: Annotated[bool, typer.Option("--small", help="Start from the customer of `alp demo`.")] = False,
    form: Annotated[Form, typer.Option(help="A customer's zip, or the folders of DCASE Task 2.")] = Form.PACKAGE,
    signals: Annotated[bool, typer.Option("--signals", help="Motor currents and flux instead of sound.")] = False,
    channels: Annotated[int | None, typer.Option(help="Microphones, 1 to 8.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a synthetic customer sends.

    By default every machine type in the shape of DCASE Task 2: 990 source and 10 target normals to learn from, 100
    supplements, 50 normal and 50 anomalous tests in each domain. `synth` of params.yaml changes it.
    With --signals it is motors whose phase currents and stray flux were measured; --sections, --scale and --seed
    go with it.
    """
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.synth.spec import FULL_SHAPE, SynthSpec, scaled, spec_from
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    if signals:
        other = {"--machines": machines, "--small": small, "--channels": channels, "--form": form != Form.PACKAGE}
        refused = [name for name, given in other.items() if given]
        _write_motors(target, sections, seed, scale, refused, terminal, as_json)
        return
    params = load_params(root)
    chosen = {
        "machines": [name.strip() for name in machines.split(",")] if machines else None,
        "sections_per_machine": sections,
        "channels": channels,
        "seed": seed,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    spec = scaled(spec_from({**params.synth, **given}, SynthSpec() if small else FULL_SHAPE), scale)
    made = write_customer(target, spec, terminal, form=form, workers=params.run.threads)
    if as_json:
        typer.echo(json.dumps(asdict(made), ensure_ascii=False, indent=2))


def _write_motors(
    target: Path,
    sections: int | None,
    seed: int | None,
    scale: float,
    refused: list[str],
    terminal: Terminal,
    as_json: bool,
) -> None:
    """Write the synthetic customer who measures motor currents, and say what was written."""
    from alp_assets.errors import ParameterError
    from alp_assets.synth.motor_customer import MotorSpec, synthesize_motors

    if refused:
        raise ParameterError(f"{' and '.join(refused)}: only for sound. Leave it out with --signals.")
    if not scale > 0:
        raise ParameterError(f"--scale {scale:g} cannot be used. It must be above 0.")
    usual = MotorSpec()
    counts = {
        name: max(1, round(scale * getattr(usual, name)))
        for name in ("source_normals", "target_normals", "test_normals", "test_anomalies")
    }
    spec = MotorSpec(
        sections=usual.sections if sections is None else sections,
        seed=usual.seed if seed is None else seed,
        **counts,
    )
    with terminal.working():
        size = synthesize_motors(target, spec, terminal.progress("synth"))
    terminal.say(f"{target}: {spec.recordings:,} recordings of {spec.sections} motors, {size / 1e6:,.0f} MB")
    if as_json:
        made = {"recordings": spec.recordings, "sections": spec.sections, "bytes": size}
        typer.echo(json.dumps({"target": str(target), **made}, ensure_ascii=False, indent=2))


def write_customer(
    target: Path, spec: SynthSpec, terminal: Terminal, *, form: str = Form.PACKAGE, workers: int = 0
) -> SynthSummary:
    """Write a synthetic customer with a progress bar, and say what was written."""
    from alp_assets.synth.customer import synthesize

    with terminal.working():
        made = synthesize(target, spec, terminal.progress("synth"), workers=workers, form=str(form))
    terminal.say(
        f"{target}: {made.recordings:,} recordings of {made.sections} machines, {made.seconds / 60:,.0f} min, "
        f"{made.bytes / 1e6:,.0f} MB"
    )
    return made
