"""Model folders: safetensors and JSON with checksums. Nothing in them can run code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.encoders.base import Feature
from alp_assets.engines.base import MODEL_FILE, Model, write_tensors
from alp_assets.engines.catalog import make_engine
from alp_assets.errors import ModelCorrupt
from alp_assets.files import read_json, sha256_of, write_json
from alp_assets.params import ModelParams

CARD_FILE = "model.json"
SECOND = "second"
"""Where second opinions lie in a section's model folder, a folder for each engine."""

FORMAT = 2


@dataclass(frozen=True)
class StoredModel:
    """A model read back, with its card."""

    model: Model
    card: dict[str, Any]


def save_model(folder: Path, model: Model, engine: str, card: dict[str, Any], beside: Sequence[str] = ()) -> None:
    """Write weights and card. The card gains the engine, its settings and the checksums of the files.

    ``beside`` names files that lie in the folder already and belong to the model.
    """
    weights = write_tensors(folder, model)
    write_json(
        folder / CARD_FILE,
        {
            **card,
            "format": FORMAT,
            "engine": engine,
            "settings": model.settings,
            "files": {path.name: sha256_of(path) for path in (weights, *(folder / name for name in beside))},
        },
    )


def second_folders(folder: Path) -> list[Path]:
    """The folders of the second opinions that lie in a section's model folder."""
    return sorted(path.parent for path in (folder / SECOND).glob(f"*/{CARD_FILE}"))


def features_of_folder(folder: Path) -> list[Feature]:
    """What the model and the second opinions in a section's model folder work on; nothing where it is damaged."""
    found = []
    for place in (folder, *second_folders(folder)):
        try:
            encoder = read_json(place / CARD_FILE)["encoder"]
            found.append(Feature(encoder["name"], encoder["view"]))
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            continue
    return found


def load_model(folder: Path) -> StoredModel:
    """Read a model back; ``ModelCorrupt`` when a file is missing, damaged or of another format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    mend = "Run the models stage of its package again, or restore the folder from DVC."
    try:
        card = read_json(folder / CARD_FILE)
        weights = folder / MODEL_FILE
        if card["format"] != FORMAT:
            raise ModelCorrupt(
                f"{folder}: format {card['format']} is not {FORMAT}, which this version reads. {mend}"
            )
        for name, checksum in {MODEL_FILE: card["files"][MODEL_FILE], **card["files"]}.items():
            if sha256_of(folder / name) != checksum:
                raise ModelCorrupt(f"{folder / name}: the bytes do not match the checksum in {CARD_FILE}. {mend}")
        engine = make_engine(card["engine"], ModelParams())
        return StoredModel(engine.restore(load_file(weights), card["settings"]), card)
    except FileNotFoundError as error:
        raise ModelCorrupt(f"{error.filename}: this file of the model is missing. {mend}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, SafetensorError) as error:
        raise ModelCorrupt(f"{folder}: the model cannot be read ({error!r}). {mend}") from error
