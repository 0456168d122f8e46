"""Checkpoints on disk: ``config.json`` beside safetensors, checked before anything is loaded from them.

Only safetensors are read as they are, because a pickle can run code. BEATs, which is published as one
``.pt`` file, is read with ``weights_only``, which refuses all but tensors and plain values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.errors import WeightsMissing
from alp_assets.files import read_json, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CARD = "weights.json"

AST = "audio-spectrogram-transformer"
BEATS = "beats"
WAVEFORM = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio")
"""Architectures by the ``model_type`` of their configuration; the last group takes the waveform itself."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_MOST_HEADER = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are whole.

    ``files`` are those that decide the embeddings, with their SHA-256: the configurations, then the weights,
    each group by name. ``path`` is their folder, or the file of a BEATs checkpoint as published.
    ``model`` is what it is called in model cards.
    """

    path: Path
    config: dict[str, Any]
    files: Mapping[str, str]
    model: str

    @property
    def architecture(self) -> str:
        """Its ``model_type``."""
        return str(self.config["model_type"])

    @property
    def content_hash(self) -> str:
        """SHA-256 over name and SHA-256 of each file, in the order of ``files``."""
        lines = "".join(f"{name}\0{digest}\n" for name, digest in self.files.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """The size of its files."""
        return sum(path.stat().st_size for path in self._paths())

    @property
    def preprocessor(self) -> dict[str, Any]:
        """What is said of the features, or nothing."""
        place = self.path / PREPROCESSOR
        return _json_object(place) if PREPROCESSOR in self.files else {}

    def _paths(self) -> list[Path]:
        return [self.path] if self.path.is_file() else [self.path / name for name in self.files]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a folder's configuration and check its files.

    Raises:
        WeightsMissing: a file is missing or cut short, it is no audio encoder, or what `alp weights add`
            recorded of its files no longer holds.
    """
    if path.is_file():
        return Checkpoint(path, pt_config(path), {path.name: _sha256(path)}, path.stem)
    config = _json_object(path / CONFIG)
    known = (AST, BEATS, *WAVEFORM)
    if config.get("model_type") not in known:
        raise WeightsMissing(
            f"{path}: {CONFIG} says model_type {config.get('model_type')!r}, which is no audio encoder that ALP "
            f"can take; it takes {', '.join(known)}."
        )
    weights = _weight_files(path)
    for name in weights:
        if name != INDEX:
            check_safetensors(path / name)
    names = [name for name in (CONFIG, PREPROCESSOR) if (path / name).is_file()] + weights
    found = Checkpoint(path, config, {name: _sha256(path / name) for name in names}, path.resolve().name)
    return _as_recorded(found)


def check_safetensors(path: Path) -> None:
    """Raise ``WeightsMissing`` where a safetensors file has no readable header or other than its bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: Any = json.loads(stream.read(length)) if 0 < length <= min(size, _MOST_HEADER) else None
        spans = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except FileNotFoundError as error:
        raise WeightsMissing(f"{path}: this file of the checkpoint is missing. {_AGAIN}") from error
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise WeightsMissing(f"{path}: no safetensors file, its header cannot be read. {_AGAIN}") from error
    expected = 8 + length + max(spans, default=0)
    if size != expected:
        state = "cut short" if size < expected else "too long"
        raise WeightsMissing(f"{path}: {state}, {size:,} bytes where its header says {expected:,}. {_AGAIN}")


def pt_config(path: Path) -> dict[str, Any]:
    """The configuration in a BEATs checkpoint as published."""
    told = _read_pt(path)["cfg"].items()
    plain = {name: value for name, value in told if isinstance(value, bool | int | float | str)}
    return {"model_type": BEATS, **plain}


def pt_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a BEATs checkpoint as published, less the head that names sounds."""
    return {
        name: value.detach().clone().contiguous()
        for name, value in _read_pt(path)["model"].items()
        if not name.startswith("predictor.")
    }


_AGAIN = "Get the checkpoint again, and bring it in with `alp weights add PATH|HUB-ID`."


def _as_recorded(found: Checkpoint) -> Checkpoint:
    """The checkpoint under the name that it came by; its files must be those that were added."""
    if not (found.path / CARD).is_file():
        return found
    card = _json_object(found.path / CARD)
    recorded = card.get("files", {})
    names = {*recorded, *found.files}
    if changed := sorted(name for name in names if recorded.get(name) != found.files.get(name)):
        raise WeightsMissing(
            f"{found.path}: {', '.join(changed)} changed since `alp weights add` took the checksums. {_AGAIN}"
        )
    return Checkpoint(found.path, found.config, found.files, str(card.get("model", found.model)))


def _weight_files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if (folder / INDEX).is_file():
        named = _json_object(folder / INDEX).get("weight_map", {})
        shards = sorted(set(named.values())) if isinstance(named, dict) else []
        if not shards or any(not isinstance(name, str) or name != Path(name).name for name in shards):
            raise WeightsMissing(f"{folder / INDEX}: names no files of this folder. {_AGAIN}")
        return [INDEX, *shards]
    if pickles := sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern)):
        raise WeightsMissing(
            f"{folder}: {pickles[0]} is a pickle, which can run code, so it is not read. Convert it to "
            f"{WEIGHTS} (load it where you trust it, then save_pretrained)."
        )
    raise WeightsMissing(f"{folder}: there is no {WEIGHTS}. {_AGAIN}")


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except FileNotFoundError as error:
        raise WeightsMissing(f"{path.parent}: there is no {path.name}. {_AGAIN}") from error
    except ValueError as error:
        raise WeightsMissing(f"{path}: not readable as JSON. {_AGAIN}") from error
    if not isinstance(found, dict):
        raise WeightsMissing(f"{path}: not a JSON object. {_AGAIN}")
    return found


def _read_pt(path: Path) -> dict[str, Any]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive, a pickle of objects: torch raises many kinds
        raise WeightsMissing(
            f"{path}: not readable as a checkpoint of tensors and plain values alone ({type(error).__name__})."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in ("cfg", "model")):
        raise WeightsMissing(f"{path}: no BEATs checkpoint, which holds `cfg` and `model`.")
    return found


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of_state(path: Path, size: int, modified_ns: int) -> str:
    """A checkpoint is hashed once in a process, unless its files change."""
    del size, modified_ns
    return sha256_of(path)
