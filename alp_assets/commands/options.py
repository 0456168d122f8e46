"""Options that several commands of ``alp`` have in common, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alp_assets.errors import AlpError


def _folder(text: str) -> Path:
    """A path that was given. Nothing, as of a variable that is not set, is to ``Path`` the current folder."""
    if not text.strip():
        raise typer.BadParameter("names no folder.")
    return Path(text)


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Data root; default $ALP_DATA, else data/ of the checkout.",
        parser=_folder,
        metavar="DIRECTORY",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of tables.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter, as name=value; see params.yaml.", metavar="NAME=VALUE"),
]


def overrides(settings: list[str] | None) -> dict[str, Any]:
    """The parameters that ``--set`` gives, by name.

    Raises:
        AlpError: one is not name=value, or the value is no YAML.
    """
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
