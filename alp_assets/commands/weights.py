"""``alp weights``: the checkpoints of pretrained encoders, brought in and listed."""

from __future__ import annotations

import io
import json
import logging
import os
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.errors import SnapshotFailed

weights_app = typer.Typer(help="The checkpoints of pretrained encoders.", no_args_is_help=True)


@weights_app.command()
def add(
    source: Annotated[
        str, typer.Argument(help="A checkpoint's folder, a BEATs .pt file, or a hub id.", metavar="PATH|HUB-ID")
    ],
    name: Annotated[
        str | None, typer.Option(help="Its folder's name; default ast, beats, or as the source is called.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another checkpoint of that name.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a checkpoint and keep it in the data root, versioned where that is under DVC."""
    from alp_assets.encoders.checkpoint import read_checkpoint
    from alp_assets.encoders.weights import bring_in
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    added = bring_in(source, root, name, replace=replace)
    folder = added.folder
    found = read_checkpoint(folder)
    versioned = _versioned(folder)
    if as_json:
        _print_json(
            {
                "folder": folder,
                "hash": found.content_hash,
                "versioned": versioned,
                "already_there": added.already_there,
            }
        )
        return
    if added.already_there:
        terminal.say("This checkpoint is already there.")
    terminal.say(f"{folder}: {found.architecture}, {_megabytes(found.bytes)}, sha256 {found.content_hash}")
    terminal.say(
        f"Versioned in {folder}.dvc" if versioned else f"Not versioned: {root} is in no DVC repository yet."
    )


@weights_app.command("list")
def list_weights(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the checkpoints at hand, also those from the environment and Hugging Face's cache."""
    from alp_assets.encoders.weights import known_weights
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    found = known_weights(load_params(root).embeddings.pretrained, root)
    if as_json:
        _print_json([asdict(item) for item in found])
        return
    if not found:
        terminal.say("No weights are here. `alp weights add PATH|HUB-ID` brings some in.")
        return
    columns = ("name", "architecture", "sha256", "size", "found in", "folder")
    rows = [
        [item.name, item.architecture, item.content_hash[:12], _megabytes(item.bytes), item.where, item.path]
        for item in found
        if not item.problem
    ]
    if rows:
        terminal.table("Weights", columns, rows)
    for item in found:
        if item.problem:
            terminal.say(f"{item.name} ({item.where}) cannot be used. {item.problem}")


def _versioned(folder: Path) -> bool:
    """Give the folder a ``.dvc`` file; False where it lies in no DVC repository."""
    repository = next((place for place in folder.parents if (place / ".dvc" / "config").is_file()), None)
    if repository is None:
        return False
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    logging.getLogger("dvc").setLevel(logging.ERROR)
    from dvc.repo import Repo

    try:
        with redirect_stdout(io.StringIO()), Repo(str(repository), _wait_for_lock=True) as repo:
            repo.add([str(folder)])
    except Exception as error:  # DVC's errors have no common base worth naming; the weights are added all the same
        raise SnapshotFailed(
            f"{folder}: the weights are there, but DVC could not version them ({error!r}). Run `alp weights add` "
            "again when this is mended."
        ) from error
    return True


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
