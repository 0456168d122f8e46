"""``alp pretrain``: ALP's own encoder, trained anew on synthesized sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alp_assets.encoders.pretraining.training import Row


def pretrain(
    out: Annotated[Path, typer.Option("--out", help="Folder for weights, card, log and the state to go on from.")],
    config: Annotated[
        str, typer.Option("--config", help="cpu, gpu, or a TOML file.", metavar="NAME|FILE")
    ] = "cpu",
    seed: Annotated[int | None, typer.Option(help="Default: the configuration's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Train ALP's own encoder on synthesized machine sound. The same command goes on where it was cut off."""
    from alp_assets.encoders.pretraining.card import write_weights
    from alp_assets.encoders.pretraining.config import read_config
    from alp_assets.encoders.pretraining.training import log_of, train
    from alp_assets.terminal import Terminal

    terminal = Terminal(quiet=as_json)
    chosen = read_config(config)
    if seed is not None:
        chosen = chosen.model_copy(update={"seed": seed})
    with terminal.working():
        network = train(chosen, out, terminal.progress("pretrain"), lambda row: terminal.say(_told(row)))
    card = write_weights(network, chosen, log_of(out), out)
    if as_json:
        typer.echo(json.dumps(card, ensure_ascii=False, indent=2))
        return
    terminal.say(f"{out}: {card['parameters']:,} parameters, {card['bytes'] / 1e6:.1f} MB")


def _told(row: Row) -> str:
    probe = ", ".join(f"{name} {value:.3f}" for name, value in row.probe.items())
    return f"round {row.round}, step {row.step}: loss {row.loss:.3f}, found {row.accuracy:.0%}; AUC {probe}"
