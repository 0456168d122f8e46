"""``alp import`` and ``alp export``: public data sets as customer packages, and packages as submissions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.errors import AlpError, StageMissing

if TYPE_CHECKING:
    from alp_assets.interop.dataset import DataSet, Finding
    from alp_assets.interop.packing import Packed
    from alp_assets.progress import Progress
    from alp_assets.stages.package import PackageFolder
    from alp_assets.terminal import Terminal

import_app = typer.Typer(help="Public data sets as customer packages.", no_args_is_help=True)
export_app = typer.Typer(help="Finished packages in the layouts of others.", no_args_is_help=True)

_SHOWN = 20
_INCOMPLETE = 1

FolderArgument = Annotated[Path, typer.Argument(help="The unpacked data set, or a part of it.", metavar="DIR")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="The zip to write; by default named after DIR, in this folder.")
]
MachinesOption = Annotated[
    str | None, typer.Option(help="Only these kinds of machine, as the set calls them, separated by commas.")
]
SectionsOption = Annotated[str | None, typer.Option(help="Only these sections, such as 00,01.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option("--machine-type", help="ALP's type for a machine that it does not know.", metavar="MACHINE=TYPE"),
]
ChannelsOption = Annotated[
    str | None,
    typer.Option(
        help="whole: files as they are, ALP hears the first channel; apart: each by itself; or one. By default "
        "apart where the set says which microphones they are (DCASE 2026), else whole.",
    ),
]
TimeOption = Annotated[
    datetime | None,
    typer.Option(
        "--recorded-at",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
        help="Stands for the times of recording, which the sets don't tell; by default the day of publication.",
    ),
]


@import_app.command("dcase")
def import_dcase(
    folder: FolderArgument,
    out: OutOption = None,
    machines: MachinesOption = None,
    sections: SectionsOption = None,
    machine_type: TypeOption = None,
    channels: ChannelsOption = None,
    recorded_at: TimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """DCASE Task 2 of 2020 to 2026: development, additional training and evaluation sets, unpacked."""
    from alp_assets.interop.dcase_folders import read_dcase

    _import(read_dcase, folder, out, machines, sections, machine_type, channels, recorded_at, as_json)


@import_app.command("mimii")
def import_mimii(
    folder: FolderArgument,
    out: OutOption = None,
    machines: MachinesOption = None,
    sections: SectionsOption = None,
    machine_type: TypeOption = None,
    channels: ChannelsOption = None,
    recorded_at: TimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """MIMII, MIMII DUE and MIMII DG, unpacked. Of MIMII, normals are parted as in its baseline."""
    from alp_assets.interop.mimii import read_mimii

    _import(read_mimii, folder, out, machines, sections, machine_type, channels, recorded_at, as_json)


@export_app.callback()
def _exports() -> None:
    """Finished packages in the layouts of others."""


@export_app.command("dcase")
def export_dcase(
    package: Annotated[str, typer.Argument(help="customer/package or customer__package", metavar="PACKAGE")],
    out: Annotated[Path, typer.Option("--out", help="The folder for the files; made when it is not there.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the submission files of DCASE Task 2. Exit code 1 when test recordings have no score."""
    from alp_assets.home import open_root
    from alp_assets.interop.submission import write_submission
    from alp_assets.stages.package import PackageFolder
    from alp_assets.stages.scores import read_scores
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    folder = PackageFolder.from_key(root, package.replace("/", "__", 1))
    if folder.summary("scores") is None:
        raise StageMissing(f"{folder.key}: has no scores. Run alp onboard, or the stages up to scores, first.")
    scores = read_scores(folder)
    made = write_submission(out, scores)
    missing = _without_score(folder, set(scores["recording"]))
    if as_json:
        _print_json({"files": made.files, "lines": made.lines, "left_out": made.beside, "without_score": missing})
    else:
        terminal.say(f"{out}: {len(made.files)} files about {made.lines} test recordings of {folder.key}")
    if made.beside:
        terminal.say(f"Left out: {made.beside} recordings of other microphones, as a file has one score.")
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        terminal.error(
            f"{len(missing)} test recordings have no score, so the submission is not complete: "
            f"{', '.join(missing[:_SHOWN])}{more}. The report says why."
        )
        raise typer.Exit(_INCOMPLETE)


def _import(
    read: Callable[[Path, Progress], DataSet],
    folder: Path,
    out: Path | None,
    machines: str | None,
    sections: str | None,
    machine_types: list[str] | None,
    channels: str | None,
    recorded_at: datetime | None,
    as_json: bool,
) -> None:
    from alp_assets.interop.entries import APART, WHOLE, Packing
    from alp_assets.interop.packing import write_package
    from alp_assets.terminal import Terminal

    terminal = Terminal(quiet=as_json)
    target = out or Path(f"{_slug(folder.absolute().name)}.zip")
    if target.exists():
        raise AlpError(f"{target}: there is such a file already. Remove it, or choose another name with --out.")
    types, time = _pairs(machine_types or []), recorded_at.isoformat() if recorded_at else ""
    with terminal.working():
        data = read(folder, terminal.progress("import")).only(_words(machines), _words(sections))
        packing = Packing(types, channels or (APART if data.microphones else WHOLE), time)
        packed = write_package(target, data, packing, terminal.progress("import"))
    if as_json:
        _print_json(_as_json(packed))
    else:
        _show(packed, terminal)


def _show(packed: Packed, terminal: Terminal) -> None:
    counts: dict[str, dict[str, int]] = {}
    for (machine_type, section, split), count in sorted(packed.counts.items()):
        counts.setdefault(f"{machine_type}/{section}", {})[split] = count
    splits = ("train", "test", "supplemental")
    rows = [[section, *(found.get(split) for split in splits)] for section, found in counts.items()]
    terminal.table(f"{packed.path} ({packed.name})", ("section", *splits), rows)
    if packed.findings:
        columns = ("file", "row", "left out", "problem", "remedy")
        shown = [_cells(finding) for finding in packed.findings[:_SHOWN]]
        terminal.table("Files that were left out, and what is worth knowing", columns, shown)
        if len(packed.findings) > _SHOWN:
            terminal.say(f"{len(packed.findings) - _SHOWN} more; --json lists all of them.")
    left_out = sum(finding.left_out for finding in packed.findings)
    terminal.say(
        f"{packed.recordings:,} recordings, {packed.bytes / 1e6:,.1f} MB; {left_out} files left out. "
        f"The set tells no times of recording: {packed.recorded_at} stands for all of them."
    )
    terminal.say(f"Next: alp onboard {packed.path} --customer NAME")


def _cells(finding: Finding) -> list[Any]:
    return [finding.file, finding.row, "yes" if finding.left_out else "", finding.problem, finding.remedy]


def _as_json(packed: Packed) -> dict[str, Any]:
    names = ("machine_type", "section_id", "split")
    return {
        "package": packed.path,
        "data_set": packed.name,
        "recordings": packed.recordings,
        "bytes": packed.bytes,
        "recorded_at": packed.recorded_at,
        "sections": [
            {**dict(zip(names, key, strict=True)), "recordings": count}
            for key, count in sorted(packed.counts.items())
        ],
        "findings": [asdict(finding) for finding in packed.findings],
    }


def _without_score(folder: PackageFolder, scored: set[str]) -> list[str]:
    """Test recordings of the package that no line of the submission can stand for."""
    from alp_assets.stages.metadata import read_metadata

    table = read_metadata(folder)
    return sorted(set(table.loc[table["split"] == "test", "relative_path"]) - scored)


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        machine, separator, kind = text.partition("=")
        if not separator or not machine.strip() or not kind.strip():
            raise AlpError(f"--machine-type {text}: write it as MACHINE=TYPE, for example ToyCar=motor.")
        pairs[machine.strip()] = kind.strip()
    return pairs


def _slug(name: str) -> str:
    """A name that ALP takes for a package."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data-set"


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
