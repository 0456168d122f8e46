"""``alp train``: a model from a bare folder of normal recordings, by the stages that packages go through."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.models import WhoOption
from alp_assets.commands.options import DataOption, JsonOption, SetOption, overrides
from alp_assets.errors import AlpError, SnapshotFailed

if TYPE_CHECKING:
    from alp_assets.interop.dataset import DataSet
    from alp_assets.params import Params
    from alp_assets.registry.records import Version
    from alp_assets.stages.package import PackageFolder
    from alp_assets.terminal import Terminal

_LONGEST_SLUG = 80


def train(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Folder of WAV files of one machine, all normal.")],
    name: Annotated[str, typer.Option("--name", help="What the model is called, such as fan_autoencoder_v1.")],
    who: WhoOption,
    engine: Annotated[str, typer.Option(help="Engine, by name or letter; auto chooses.")] = "auto",
    customer: Annotated[str, typer.Option("--customer", "-c", help="Whose machine it is.")] = "local",
    machine_type: Annotated[
        str | None, typer.Option(help="By default the type that the model's or the folder's name begins with.")
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", "-s", help="Which machine; by default called as the folder.")
    ] = None,
    description: Annotated[str, typer.Option(help="What it is, for people.")] = "",
    settings: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a model from a folder of normal recordings and register it.

    The recordings become a package of the customer's, so that later fits of the same section learn from them too.
    """
    from alp_assets.home import open_root
    from alp_assets.params import load_params, with_overrides
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    params = with_overrides(load_params(root), {**overrides(settings), "models.engine": engine})
    _refuse_name(root, name)
    kind = _machine_type(machine_type, name, data_dir)
    found, left_out = _recordings(data_dir, kind, section or data_dir.resolve().name or "1")
    folder = _free_package(root, customer, name)
    try:
        with terminal.working():
            left_out += _fit(folder, found, params, terminal, name, who)
        version = _registered(folder)
    except BaseException:
        if not _is_registered(root, name):
            folder.remove()
        raise
    if description:
        version = _described(root, version, description, who)
    _version(folder, params, terminal)
    _show(version, left_out, terminal, as_json)


def _refuse_name(root: Path, name: str) -> None:
    from alp_assets.registry.names import checked_name

    if _is_registered(root, checked_name(name)):
        raise AlpError(f"{name}: there is such a model already. Choose another name.")


def _is_registered(root: Path, name: str) -> bool:
    from alp_assets.registry.registry import ModelMissing, Registry

    try:
        Registry(root).get(name)
    except ModelMissing:
        return False
    return True


def _machine_type(given: str | None, name: str, data_dir: Path) -> str:
    from alp_assets.interop.entries import type_of
    from schemas.machines import MACHINE_TYPE_NAMES

    words = [given] if given else [re.split(r"[\W_\d]", text)[0] for text in (name, data_dir.resolve().name)]
    found = next(filter(None, (type_of(word, {}) for word in words)), "")
    if not found:
        raise AlpError(
            f"{given or name}: what type of machine is it? Give one with --machine-type; the types are "
            f"{', '.join(MACHINE_TYPE_NAMES)}."
        )
    return found


def _recordings(data_dir: Path, kind: str, section: str) -> tuple[DataSet, list[str]]:
    """The recordings that can be opened as a data set of normals, and what is wrong with the others."""
    from alp_assets.interop.dataset import Finding, Recording, files_below, heard, in_order, is_recording
    from alp_assets.progress import silent

    paths = [path for path in files_below(data_dir) if is_recording(path)]
    unnamed = [path for path in paths if not _is_text(path.relative_to(data_dir))]
    if not paths:
        raise AlpError(f"{data_dir}: holds no WAV files.")
    findings = [
        Finding(_legible(path.relative_to(data_dir)), "Its name is not UTF-8.", "Rename it.", left_out=True)
        for path in unnamed
    ]
    recordings = [
        Recording(
            source=path,
            machine=kind,
            section=section,
            place=path.parent.relative_to(data_dir).as_posix().removeprefix("."),
            split="train",
            domain="target",
            label="normal",
        )
        for path in paths
        if path not in unnamed
    ]
    if not recordings:
        raise AlpError(f"{data_dir}: no recording in it has a name in UTF-8. Rename them.")
    good = heard(recordings, data_dir, findings, silent)
    data = in_order(data_dir.name, datetime.now(UTC).date().isoformat(), good, findings)
    return data, [f"{finding.file}: {finding.problem}" for finding in findings]


def _is_text(path: Path) -> bool:
    """Whether a name can be written down: names of other systems may be bytes in an encoding of theirs."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _legible(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")


def _free_package(root: Path, customer: str, name: str) -> PackageFolder:
    """The folder of a package that is not there yet, called as the model is."""
    from alp_assets.stages.package import PackageFolder

    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_SLUG].strip("-")
    stem = f"train-{plain or hashlib.sha256(name.encode()).hexdigest()[:8]}"
    number = 1
    while (folder := PackageFolder(root, customer, stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return folder


def _fit(
    folder: PackageFolder, data: DataSet, params: Params, terminal: Terminal, name: str, who: str
) -> list[str]:
    """Work the recordings through all stages; the recordings that were set aside, with the reasons."""
    from alp_assets.interop.packing import write_package
    from alp_assets.stages.catalog import run_stage
    from alp_assets.stages.models import models
    from alp_assets.stages.package import STAGES
    from alp_assets.stages.quality import read_quality
    from alp_assets.stages.quality_compare import OK
    from alp_assets.stages.upload import upload

    aside: list[str] = []
    folder.path.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".packing-") as work:
        archive = Path(work) / f"{folder.package}.zip"
        write_package(archive, data, progress=terminal.progress("packing"))
        upload(folder, params, terminal.progress("upload"), archive=archive)
    for stage in STAGES[1:]:
        told = terminal.progress(stage)
        if stage == "models":
            models(folder, params, told, name=name, who=who)
            _refuse_unfit(folder)
        else:
            run_stage(stage, folder, params, told)
        if stage == "quality":
            table = read_quality(folder)
            refused = table[table["verdict"] != OK]
            aside = [
                f"{path}: {' '.join(reasons.split())}"
                for path, reasons in zip(refused["recording"], refused["reasons"], strict=True)
            ]
    return aside


def _refuse_unfit(folder: PackageFolder) -> None:
    from alp_assets.stages.models import package_sections, read_plan

    (section,) = package_sections(folder)
    plan = read_plan(folder.stage("models") / section.folder)
    if not plan["engine"]:
        raise AlpError(f"no model could be fitted: {plan['reason']}.")


def _registered(folder: PackageFolder) -> Version:
    """The version that the package's model is."""
    from alp_assets.registry.registry import Registry, content_hash
    from alp_assets.stages.models import package_sections

    (section,) = package_sections(folder)
    return Registry(folder.data_root).get(content_hash(folder.stage("models") / section.folder))


def _described(root: Path, version: Version, text: str, who: str) -> Version:
    from alp_assets.registry.registry import Registry

    return Registry(root).describe(version.version, text, who)


def _version(folder: PackageFolder, params: Params, terminal: Terminal) -> None:
    """Put package and model under DVC; the model is registered also where that fails."""
    from alp_assets.store.base import store_of
    from alp_assets.versions.snapshot import snapshot

    if not params.versioned.enabled or store_of(folder.data_root).mirrors:
        return
    try:
        problem = snapshot(folder, params).problem
    except SnapshotFailed as error:
        problem = str(error)
    if problem:
        terminal.error(problem)


def _show(version: Version, left_out: list[str], terminal: Terminal, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {
            "id": version.version,
            "name": version.name,
            "section": str(version.section),
            "package": version.package,
            "state": version.state,
            "reason": version.reason,
            "engine": version.engine,
            "normals": version.clips,
            "threshold": version.threshold,
            "folder": version.folder,
            "left_out": left_out,
        }
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2, default=str))
        return
    for text in left_out:
        terminal.say(f"Left out: {text}")
    terminal.say(
        f"{version.name} ({version.version}): {version.engine} on {version.clips} normal clips of "
        f"{version.section}, {version.state}: {version.reason}"
    )
