"""Where checkpoints lie, how they come into the data root, and what is said when there is none."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alp_assets.encoders.checkpoint import (
    AST,
    BEATS,
    CARD,
    CONFIG,
    INDEX,
    PREPROCESSOR,
    WEIGHTS,
    Checkpoint,
    pt_config,
    pt_tensors,
    read_checkpoint,
)
from alp_assets.encoders.device import Placement
from alp_assets.encoders.plans import plan_of
from alp_assets.errors import AlpError, WeightsMissing
from alp_assets.files import read_json, replaced_folder, write_json
from alp_assets.params import PretrainedParams
from alp_assets.store.base import store_of

FOLDER = "weights"
HUB_PREFIX = "hf:"
ENVIRONMENT = {"ast": "ALP_WEIGHTS_AST", "beats": "ALP_WEIGHTS_BEATS"}

_NAME_OF = {AST: "ast", BEATS: "beats"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = [CONFIG, PREPROCESSOR, INDEX, "model*.safetensors"]
_HUB_PATIENCE_S = 5


@dataclass(frozen=True)
class Found:
    """A checkpoint that `alp weights list` tells of; ``problem`` says why it cannot be used."""

    name: str
    where: str
    path: Path
    architecture: str = ""
    content_hash: str = ""
    bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Added:
    """Where a checkpoint lies after it was added, and whether the same one lay there before."""

    folder: Path
    already_there: bool


def find_weights(name: str, params: PretrainedParams, data_root: Path) -> Path | None:
    """The checkpoint of ``ast``, ``beats`` or ``hf:<model>``, looked for on this machine alone.

    In this order: the environment setting; the parameter (of ``hf:``, the model) where it is a path; the
    data root's ``weights/``; Hugging Face's cache. None when it is nowhere.

    Raises:
        WeightsMissing: the environment setting names what is not there.
    """
    setting = os.environ.get(ENVIRONMENT.get(name, ""), "")
    if setting:
        chosen = Path(setting).expanduser()
        if not chosen.exists():
            raise WeightsMissing(f"{ENVIRONMENT[name]} names {setting}, which is not there. Mend or unset it.")
        return chosen
    source = source_of(name, params)
    given = Path(source).expanduser()
    if source and given.exists():
        return given
    added = [data_root / FOLDER / slug(part) for part in (source, name) if slug(part)]
    for place in added:
        store_of(data_root).fetch(f"{FOLDER}/{place.name}")
        if (place / CONFIG).is_file():
            return place
    return _cached(source)


def source_of(name: str, params: PretrainedParams) -> str:
    """The hub id or path that an encoder's name stands for."""
    if name.startswith(HUB_PREFIX):
        return name.removeprefix(HUB_PREFIX)
    return {"ast": params.ast, "beats": params.beats}[name]


def add_weights(source: str, data_root: Path, name: str | None = None, *, replace: bool = False) -> Path:
    """The folder that ``bring_in`` leaves a checkpoint in."""
    return bring_in(source, data_root, name, replace=replace).folder


def bring_in(source: str, data_root: Path, name: str | None = None, *, replace: bool = False) -> Added:
    """Bring a checkpoint into ``<data root>/weights/<name>``, checked and with checksums.

    ``source`` is a folder, a BEATs ``.pt`` file (kept as safetensors) or a hub id. Without a name an AST
    becomes ``ast``, a BEATs ``beats``, and every other what its source is called. The same checkpoint there
    stays, or is mended where it was damaged; another one gives way only where ``replace`` says so. A failure
    leaves all as it was.

    Raises:
        WeightsMissing: it cannot be had, or is no whole checkpoint of an audio encoder.
        AlpError: another checkpoint is there, and ``replace`` does not say that it may go.
    """
    path = Path(source).expanduser()
    if not path.exists() and not _HUB_ID.fullmatch(source):
        raise WeightsMissing(f"{source}: no such folder, and no id of a model on the hub (such as MIT/ast-...).")
    if name is not None and (not name or slug(name) != name):
        raise WeightsMissing(f"{name!r} cannot be a folder's name here; {slug(name) or 'my-model'!r} could.")
    with _incoming(data_root) as incoming:
        model = _fetch(source, path, incoming)
        found = _tried(incoming, source)
        target = data_root / FOLDER / (name or _NAME_OF.get(found.architecture) or slug(model))
        store_of(data_root).fetch(f"{FOLDER}/{target.name}")
        there, whole = _hash_there(target)
        if whole and there == found.content_hash:
            return Added(target, already_there=True)
        if there and there != found.content_hash and not replace:
            raise AlpError(
                f"{target}: another checkpoint is there (sha256 {there[:12]}; {source} has "
                f"{found.content_hash[:12]}). Models fitted with it can no longer score once it is gone. Give "
                "this one another folder with --name, or replace the other with --replace."
            )
        _write_card(incoming, found, source, model)
        with replaced_folder(target) as part:
            for file in incoming.iterdir():
                os.replace(file, part / file.name)
            store_of(data_root).publish(f"{FOLDER}/{target.name}", part)
    return Added(target, already_there=False)


def download(name: str, params: PretrainedParams, data_root: Path) -> Path:
    """Fetch an encoder's checkpoint from the hub into the data root.

    Raises:
        WeightsMissing: the encoder has no hub id, or the hub cannot be reached; the text names the ways.
    """
    source = source_of(name, params)
    if name == "beats" or not _HUB_ID.fullmatch(source):
        raise WeightsMissing(how_to_get(name, params))
    try:
        return add_weights(source, data_root, slug(source))
    except WeightsMissing as error:
        raise WeightsMissing(how_to_get(name, params, str(error))) from error


def how_to_get(name: str, params: PretrainedParams, reason: str = "") -> str:
    """Which ways there are to the weights of an encoder."""
    source = source_of(name, params)
    told = f" ({reason.rstrip('.')})" if reason else ""
    if name == "beats":
        return (
            f"beats: its weights are not here{told}. Download a BEATs checkpoint (BEATs_iter3_plus_AS2M.pt from "
            f"github.com/microsoft/unilm) where there is a network, then either run `alp weights add PATH`, or "
            f"set {ENVIRONMENT[name]} or the parameter embeddings.pretrained.beats to its path."
        )
    setting = (
        f"set {ENVIRONMENT[name]} to such a folder"
        if name in ENVIRONMENT
        else f"name such a folder as the encoder, {HUB_PREFIX}/path/to/folder"
    )
    return (
        f"{name}: its weights ({source}) are not here{told}. Either run `alp weights add PATH|HUB-ID`, PATH being "
        f"a folder with {CONFIG} and {WEIGHTS}; or {setting}; or run once on a machine that reaches "
        "huggingface.co, where they are fetched."
    )


def known_weights(params: PretrainedParams, data_root: Path) -> list[Found]:
    """Every checkpoint at hand: of the data root, the environment, the parameters and the hub's cache."""
    store = store_of(data_root)
    places = []
    for name in store.below(FOLDER):
        store.fetch(f"{FOLDER}/{name}")
        places.append((name, "data root", data_root / FOLDER / name))
    for name, setting in ENVIRONMENT.items():
        if os.environ.get(setting):
            places.append((name, f"${setting}", Path(os.environ[setting]).expanduser()))
        source = source_of(name, params)
        if source and Path(source).expanduser().exists():
            places.append((name, "parameter", Path(source).expanduser()))
        elif cached := _cached(source):
            places.append((name, "Hugging Face's cache", cached))
    return [_described(*place) for place in places]


def slug(text: str) -> str:
    """A folder's name for a hub id or path: ``MIT/ast-10`` is ``MIT--ast-10``."""
    return re.sub(r"[^\w.-]+", "-", text.strip("/").replace("/", "--")).strip(".-")


def _described(name: str, where: str, path: Path) -> Found:
    try:
        found = read_checkpoint(path)
    except (WeightsMissing, OSError) as error:
        return Found(name, where, path, problem=str(error))
    return Found(name, where, path, found.architecture, found.content_hash, found.bytes)


def _fetch(source: str, path: Path, into: Path) -> str:
    """The files that matter of a checkpoint, into an empty folder; what the checkpoint is called."""
    if not path.exists():
        _download(source, into)
        return source
    found = read_checkpoint(path)
    if path.is_file():
        _convert(path, into)
        return path.stem
    for name in found.files:
        shutil.copyfile(path / name, into / name)
    return found.model


def _tried(incoming: Path, source: str) -> Checkpoint:
    """The checkpoint that came, after all of it was loaded once; what is wrong is said of its source."""
    try:
        found = read_checkpoint(incoming)
        plan = plan_of(found)
        plan.load(plan.depth, Placement("cpu", "float32"), compiled=False)
    except WeightsMissing as error:
        raise WeightsMissing(str(error).replace(str(incoming), source)) from error
    return found


def _hash_there(folder: Path) -> tuple[str, bool]:
    """The hash of the checkpoint that a folder was made for, empty where it had none, and whether it is whole."""
    try:
        return read_checkpoint(folder).content_hash, True
    except WeightsMissing:
        try:
            card = read_json(folder / CARD)
        except (FileNotFoundError, ValueError):
            return "", False
    return str(card.get("hash", "")) if isinstance(card, dict) else "", False


def _convert(path: Path, into: Path) -> None:
    """A BEATs checkpoint as published, as safetensors and a configuration."""
    from safetensors.torch import save_file

    write_json(into / CONFIG, pt_config(path))
    save_file(pt_tensors(path), into / WEIGHTS)


def _download(hub_id: str, into: Path) -> None:
    import huggingface_hub

    try:
        huggingface_hub.snapshot_download(
            hub_id, local_dir=into, allow_patterns=_WANTED, etag_timeout=_HUB_PATIENCE_S
        )
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise WeightsMissing(
            f"{hub_id}: could not be downloaded, {type(error).__name__}: {reason[:200]}. Copy its folder here by "
            "other means and run `alp weights add PATH`."
        ) from error
    shutil.rmtree(into / ".cache", ignore_errors=True)  # the client's notes


def _write_card(folder: Path, found: Checkpoint, source: str, model: str) -> None:
    card = {
        "source": source,
        "model": model,
        "architecture": found.architecture,
        "hash": found.content_hash,
        "files": dict(found.files),
        "added_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / CARD, card)


def _cached(hub_id: str) -> Path | None:
    """The snapshot of a model in Hugging Face's cache.

    Its layout is part of the hub's documentation; importing the client to look there would cost half a second.
    """
    if not _HUB_ID.fullmatch(hub_id):
        return None
    folder = _hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / commit
    whole = (snapshot / CONFIG).is_file() and any((snapshot / name).is_file() for name in (WEIGHTS, INDEX))
    return snapshot if whole else None


def _hub_cache() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(caches, "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()


@contextmanager
def _incoming(data_root: Path) -> Iterator[Path]:
    """An empty folder beside the weights, gone afterwards. Two runs that add weights take turns."""
    (data_root / FOLDER).mkdir(parents=True, exist_ok=True)
    folder = data_root / FOLDER / ".incoming"
    with (data_root / FOLDER / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
