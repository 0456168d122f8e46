"""What is asked of a worker that diagnoses: the recording, the models, and how they are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.errors import ModelCorrupt
from alp_assets.params import Params
from alp_assets.registry.records import ThresholdVersion, Version

if TYPE_CHECKING:
    from alp_assets.stages.diagnosis import LoadedModel

CLIPS, REGIONS, FINDINGS, MAP, MAP_PICTURE, WAVEFORM, SPECTROGRAM = PARTS = (
    "clips",
    "regions",
    "findings",
    "map",
    "map_png",
    "waveform",
    "spectrogram",
)
"""What a diagnosis may hold beside scores."""

DEFAULT_PARTS = frozenset({CLIPS, REGIONS, FINDINGS, MAP})


@dataclass(frozen=True)
class Look:
    """A model that is to judge: a version with the threshold in force, or a second opinion in its folder.

    ``asked`` is what was asked for: champion, level1, level2 or an id.
    """

    version: Version
    threshold: ThresholdVersion | None
    second: str
    asked: str


@dataclass(frozen=True)
class Job:
    """One request. ``name`` is what the sender calls the recording, ``head`` opens the answer."""

    path: Path
    name: str
    looks: tuple[Look, ...]
    parts: frozenset[str]
    head: Mapping[str, Any]


@dataclass(frozen=True)
class Start:
    """What the workers of a pool know from the start."""

    data_root: Path
    params: Params
    cache_bytes: int


def loaded_model(look: Look, state: dict[str, Any]) -> LoadedModel:
    """The model of a look, kept in memory while there is room.

    Raises:
        ModelCorrupt: its files are gone or changed.
    """
    from alp_assets.engines.store import CARD_FILE, SECOND

    version = look.version
    if look.second:
        place = version.folder / SECOND / look.second
        version = replace(version, version=f"{version.version}/{look.second}", folder=place)
    if not (version.folder / CARD_FILE).is_file():
        raise ModelCorrupt(f"{version.name}: the files of this model are gone. Restore {version.folder} from DVC.")
    found: LoadedModel = state["cache"].get(version)
    return found


def read_model(version: Version) -> LoadedModel:
    """A model as the cache wants it, whole or not at all."""
    from alp_assets.registry.registry import verify
    from alp_assets.stages.diagnosis import load_for_diagnosis

    if "/" not in version.version:
        verify(version)
    return load_for_diagnosis(version.folder)
