"""Models handed on as a folder that others can read: ``registry.json``, weight files, and what is known of each.

``registry.json`` lists the models; beside each weight file lies its ``*_meta.json``. What ALP needs to take a
model back (card, threshold, second opinions) lies in a folder of the model's name, and its checksums in the meta.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from alp_assets.errors import AlpError
from alp_assets.files import replaced_folder, write_json
from alp_assets.registry.contents import WEIGHTS_FILE
from alp_assets.registry.records import State, Version
from alp_assets.registry.registry import Registry, verify

if TYPE_CHECKING:
    from pathlib import Path

LIST_FILE = "registry.json"
OWN = "alp"
"""The part of a meta file that ALP reads back."""

FORMAT = 1


def registry_json(versions: Iterable[Version]) -> dict[str, Any]:
    """The list of models, as ``registry.json`` holds it; the champions are the defaults."""
    return {"models": [_entry(version) for version in versions]}


def model_meta(version: Version) -> dict[str, Any]:
    """What is known of a model, as its ``*_meta.json`` holds it for other programs."""
    return {
        "created_at": version.created_at,
        "dataset_path": f"packages/{version.section.customer}/{version.package}",
        "sample_count": version.clips,
        "parameters": dict(version.parameters),
        "metrics": dict(version.metrics),
        "calibration": dict(version.calibration),
        "threshold": _finite(version.threshold),
    }


def export_models(registry: Registry, versions: Iterable[Version], target: Path) -> list[Path]:
    """Write models into a folder that is not there yet; its files.

    Raises:
        AlpError: there is something at ``target``.
        ModelCorrupt: a model's files are gone or changed.
    """
    chosen = list(versions)
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise AlpError(f"{target}: there is something already. Name a folder that is not there yet.")
    with replaced_folder(target) as part:
        for version in chosen:
            verify(version)
            _write(registry, version, part)
        write_json(part / LIST_FILE, registry_json(chosen))
    return sorted(path for path in target.rglob("*") if path.is_file())


def _entry(version: Version) -> dict[str, Any]:
    section = version.section
    return {
        "id": version.version,
        "name": version.name,
        "type": version.engine,
        "file_name": f"{version.name}.safetensors",
        "meta_file": f"{version.name}_meta.json",
        "description": version.description or _in_words(version),
        "is_default": version.state is State.CHAMPION,
        "state": str(version.state),
        "customer": section.customer,
        "machine_type": section.machine_type,
        "section": section.section_id,
        "letter": version.letter,
        "encoder": version.encoder,
        "created_at": version.created_at,
        "threshold": _finite(version.threshold),
        "bytes": version.bytes,
    }


def _in_words(version: Version) -> str:
    clips = f"{version.clips} normal clip{'s' * (version.clips != 1)}"
    machine = f"{version.section.machine_type}/{version.section.section_id}"
    return f"{version.engine} on {version.encoder or 'its own features'}, fitted on {clips} of {machine}"


def _write(registry: Registry, version: Version, place: Path) -> None:
    files = {}
    for name, checksum in version.files.items():
        path = f"{version.name}.safetensors" if name == WEIGHTS_FILE else f"{version.name}/{name}"
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(version.folder / name, place / path)
        files[name] = {"path": path, "sha256": checksum}
    own = {
        "format": FORMAT,
        "version": version.version,
        "customer": version.section.customer,
        "machine_type": version.section.machine_type,
        "section_id": version.section.section_id,
        "package": version.package,
        "received_at": version.received_at,
        "description": version.description,
        "files": files,
        "thresholds": [
            {"value": item.value, "note": item.note, "who": item.who}
            for item in registry.thresholds(version.version)
            if item.number
        ],
    }
    write_json(place / f"{version.name}_meta.json", {**model_meta(version), OWN: own})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
