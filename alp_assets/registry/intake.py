"""Models taken over from a folder in the ``registry.json`` form, whoever made it.

Nothing in it can run code: weights are safetensors, everything else is JSON, and no other file is opened.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from alp_assets.errors import AlpError
from alp_assets.files import read_json, sha256_of
from alp_assets.registry.contents import CARD_FILE, content_hash
from alp_assets.registry.exchange import FORMAT, LIST_FILE, OWN
from alp_assets.registry.records import ModelMissing, Version
from alp_assets.registry.registry import Registry
from schemas.machines import MACHINE_TYPE_NAMES
from schemas.sections import SLUG, Section

_JSON_BYTES = 256 * 2**20
_LONGEST_TEXT = 10_000
_SAFE = (".safetensors", ".json")
_RUNS_CODE = (
    ".pkl",
    ".pickle",
    ".joblib",
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".npy",
    ".npz",
    ".h5",
    ".keras",
    ".dill",
)


class _Unfit(AlpError):
    """An entry that cannot be taken over."""


@dataclass(frozen=True)
class Taken:
    """What became of an entry: ``version`` is the model that it is here, or ``problem`` says why it is none.

    ``note`` is what else is worth knowing.
    """

    name: str
    version: Version | None = None
    problem: str = ""
    note: str = ""


def import_models(
    registry: Registry, source: Path, data_root: Path, who: str, check: Callable[[Path], object]
) -> list[Taken]:
    """Register every model of a folder that ALP once exported whole; what became of each entry.

    ``check`` loads a model folder and raises ``AlpError`` where it cannot. Defaults come first, so that a section
    without a champion gets the one that it had.

    Raises:
        AlpError: there is no list, or it cannot be read.
    """
    place = source.parent if source.name == LIST_FILE else source
    entries = sorted(_entries(place), key=lambda entry: not (isinstance(entry, dict) and entry.get("is_default")))
    return [_take(registry, place, entry, data_root, who, check) for entry in entries]


def _entries(place: Path) -> list[Any]:
    path = place / LIST_FILE
    try:
        models = _json(path)["models"]
    except FileNotFoundError as error:
        raise AlpError(f"{path}: no such file. Name a folder with a {LIST_FILE} in it.") from error
    except (OSError, KeyError, TypeError, ValueError, RecursionError, _Unfit) as error:
        raise AlpError(
            f"{path}: this is no list of models ({error!r}); it must hold {{'models': [...]}}."
        ) from error
    if not isinstance(models, list):
        raise AlpError(f"{path}: 'models' must be a list.")
    return models


def _take(
    registry: Registry, place: Path, entry: Any, data_root: Path, who: str, check: Callable[[Path], object]
) -> Taken:
    name = str(entry.get("name") or entry.get("id") or "without a name") if isinstance(entry, dict) else str(entry)
    try:
        if not isinstance(entry, dict):
            raise _Unfit("the entry is no object with a name and files")
        _refuse_code(str(entry.get("file_name", "")))
        meta = _meta(place, entry)
        own = _own(meta)
        with tempfile.TemporaryDirectory(dir=_made(data_root), prefix=".import-") as work:
            folder = Path(work) / "model"
            _assemble(place, own["files"], folder)
            if content_hash(folder) != own["version"]:
                raise _Unfit("its files are not those of the version that it says it is")
            if read_json(folder / CARD_FILE).get("section") != str(_section(own)):
                raise _Unfit(f"its card is of another section than {_section(own)}")
            check(folder)
            return _register(registry, place, name, meta, folder, who)
    except AlpError as error:
        return Taken(name, problem=str(error))
    except OSError as error:
        return Taken(name, problem=f"{error.filename}: {error.strerror}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return Taken(name, problem=f"its meta file is not as ALP writes it ({error!r})")


def _register(
    registry: Registry, place: Path, name: str, meta: Mapping[str, Any], folder: Path, who: str
) -> Taken:
    own = meta[OWN]
    section = _section(own)
    known = _known(registry, own["version"])
    other = _known(registry, _text(name))
    thresholds = [(_finite(item["value"]), _text(item["note"]), _text(item["who"])) for item in own["thresholds"]]
    notes = []
    if known:
        notes.append(f"was here already as {known.name}")
    elif other:
        notes.append("another model has this name already, so it got one of its own")
    version = registry.register(
        section,
        _package(own["package"]),
        _moment(own["received_at"]),
        folder,
        name="" if known or other else name,
        description=_text(own["description"]),
        who=who,
        origin=f"imported from {place}",
        created_at=_moment(meta["created_at"]),
        metrics={_text(key): _finite(value) for key, value in meta["metrics"].items()},
    )
    if not known:
        for threshold in thresholds:
            registry.save_threshold(version.version, *threshold)
    return Taken(name, registry.get(version.version), note="; ".join(notes))


def _section(own: Mapping[str, Any]) -> Section:
    section = Section(str(own["customer"]), str(own["machine_type"]), _text(own["section_id"]))
    if not SLUG.fullmatch(section.customer):
        raise _Unfit(f"{section.customer!r} cannot be the name of a customer")
    if section.machine_type not in MACHINE_TYPE_NAMES:
        raise _Unfit(f"there is no machine type {section.machine_type!r}")
    if not section.section_id:
        raise _Unfit("its section has no name")
    return section


def _known(registry: Registry, version: str) -> Version | None:
    try:
        return registry.get(version)
    except ModelMissing:
        return None


def _meta(place: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    if not entry.get("meta_file"):
        raise _Unfit("is no ALP model: it names no meta_file")
    path = _within(place, str(entry["meta_file"]))
    if path.suffix != ".json":
        raise _Unfit(f"{path.name}: a meta file is JSON")
    try:
        meta = _json(path)
    except FileNotFoundError as error:
        raise _Unfit(f"{entry['meta_file']}: no such file") from error
    except ValueError as error:
        raise _Unfit(f"{entry['meta_file']}: cannot be read as JSON ({error})") from error
    if not isinstance(meta, dict) or not isinstance(meta.get(OWN), dict):
        raise _Unfit(
            "is no ALP model: its meta file has no part 'alp' with the files of card and threshold, without which "
            "it cannot score. Fit one with `alp train` on its recordings"
        )
    return meta


def _own(meta: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = meta[OWN]
    if own["format"] != FORMAT:
        raise _Unfit(f"is of format {own['format']}, and this ALP reads {FORMAT}")
    _section(own)
    return own


def _assemble(place: Path, files: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Copy the files of a model together, each as its checksum says."""
    for name, told in files.items():
        for text in (name, told["path"]):
            _refuse_code(text)
        source, target = _within(place, told["path"]), folder / _plain(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError as error:
            raise _Unfit(f"{told['path']}: no such file") from error
        except (shutil.SpecialFileError, IsADirectoryError) as error:
            raise _Unfit(f"{told['path']}: is no plain file") from error
        if sha256_of(target) != told["sha256"]:
            raise _Unfit(f"{told['path']}: the bytes do not match the checksum in the meta file")


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise _Unfit(f"{number} is no figure")
    return number


def _text(value: Any) -> str:
    """Text as people write it: a terminal obeys other control characters, and a database may refuse them."""
    text = str(value)
    if len(text) > _LONGEST_TEXT or any(unicodedata.category(c) == "Cc" and c not in "\n\r\t" for c in text):
        raise _Unfit(f"{text[:20]!r}…: holds control characters, or is longer than {_LONGEST_TEXT:,}")
    return text


def _moment(value: Any) -> str:
    datetime.fromisoformat(str(value))
    return str(value)


def _package(value: Any) -> str:
    if not SLUG.fullmatch(str(value)):
        raise _Unfit(f"{value!r} cannot be the name of a package")
    return str(value)


def _refuse_code(name: str) -> None:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _RUNS_CODE:
        raise _Unfit(f"{name}: {suffix} files can run code when they are opened, so ALP opens none")
    if suffix not in _SAFE:
        raise _Unfit(f"{name or 'file_name'}: is no ALP model, whose files are safetensors and JSON")


def _within(place: Path, name: str) -> Path:
    path = place / _plain(name)
    if not path.resolve().is_relative_to(place.resolve()):
        raise _Unfit(f"{name}: leads out of the folder")
    return path


def _plain(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
        raise _Unfit(f"{name!r}: leads out of the folder")
    return path


def _json(path: Path) -> Any:
    if path.stat().st_size > _JSON_BYTES:
        raise _Unfit(f"{path.name}: too large")
    return read_json(path)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
