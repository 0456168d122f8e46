"""What a package holds of a data set: which files and channels under which names, and their rows in the table."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from alp_assets.errors import AlpError
from alp_assets.interop.attributes import conditions
from alp_assets.interop.dataset import DataSet, Recording
from schemas.columns import COLUMNS, fold_header

TABLE_COLUMNS = (
    "relative_path", "clip_id", "machine_type", "section_id", "recorded_at", "operator_confirmed", "split",
    "domain", "label", "mic_position_id", "noise_id", "speed_level", "load_level", "operating_condition", "snr_db",
    "supp_type", "modality",
)  # fmt: skip
"""Columns of the table, in order; all of them are in the contract."""

WHOLE, APART = "whole", "apart"

_MACHINE_TYPES = next(column.values for column in COLUMNS if column.name == "machine_type")


@dataclass(frozen=True)
class Packing:
    """How a data set becomes a package.

    Args:
        machine_types: ALP's type for machines that it knows under no word; by the set's word.
        channels: ``whole`` keeps files as they are (ALP listens to the first channel), ``apart`` makes each
            channel a recording of its own and each but the first a section of its own, and a number or a
            microphone's name takes that one alone.
        recorded_at: stands for the times of recording; empty for the day that the set was published.
    """

    machine_types: Mapping[str, str] = field(default_factory=dict)
    channels: str = WHOLE
    recorded_at: str = ""


@dataclass(frozen=True)
class Entry:
    """One recording of the package; ``channel`` is the one to take, counted from 1, or 0 for the whole file."""

    recording: Recording
    channel: int
    path: str
    row: Mapping[str, str]


def entries_of(data: DataSet, packing: Packing) -> list[Entry]:
    """The recordings of a package, in the order of the data set.

    Raises:
        AlpError: a machine has no type in ALP, or a recording has no such channel.
    """
    types = _types(data, packing.machine_types)
    return [
        _entry(recording, channel, data, packing, types[recording.machine])
        for recording in data.recordings
        for channel in _channels_of(recording, data, packing.channels)
    ]


def type_of(machine: str, chosen: Mapping[str, str]) -> str:
    """ALP's type for a data set's word for a machine, empty where there is none; ``Emu`` is left off its end."""
    words = {fold_header(word): name for name, others in _MACHINE_TYPES for word in (name, *others)}
    return words.get(fold_header(chosen.get(machine, machine.removesuffix("Emu"))), "")


def _types(data: DataSet, chosen: Mapping[str, str]) -> dict[str, str]:
    if stray := sorted(set(chosen) - set(data.machines)):
        raise AlpError(f"there is no machine {', '.join(stray)} in this folder, only {', '.join(data.machines)}.")
    types = {machine: type_of(machine, chosen) for machine in data.machines}
    if unknown := [machine for machine, found in types.items() if not found]:
        known = ", ".join(name for name, _ in _MACHINE_TYPES)
        raise AlpError(
            f"ALP knows no machine type {', '.join(chosen.get(name, name) for name in unknown)}. Say which type "
            f"stands for it with --machine-type {unknown[0]}=TYPE (there are {known}), add it to "
            "schemas/machines.py, or leave it out with --machines."
        )
    return types


def _channels_of(recording: Recording, data: DataSet, wanted: str) -> list[int]:
    """The channels to take from a recording, counted from 1; 0 stands for the whole file."""
    if wanted == WHOLE:
        return [0]
    if wanted == APART:
        return list(range(1, recording.channels + 1)) if recording.channels > 1 else [0]
    channel = int(wanted) if wanted.isdecimal() else 0
    if wanted in data.microphones:
        channel = data.microphones.index(wanted) + 1
    if not 1 <= channel <= recording.channels:
        names = "".join(f", {name}" for name in data.microphones)
        raise AlpError(
            f"{recording.source}: has no channel {wanted}. Its channels are 1 to {recording.channels}{names}; or "
            f"write {WHOLE} or {APART}."
        )
    return [channel] if recording.channels > 1 else [0]


def _entry(recording: Recording, channel: int, data: DataSet, packing: Packing, machine_type: str) -> Entry:
    microphone = _microphone(channel, data)
    beside = microphone if packing.channels == APART and channel > 1 else ""
    folders = filter(None, ("audio", recording.machine, recording.place, beside))
    path = unicodedata.normalize("NFC", "/".join([*folders, recording.source.name]))
    same_word = fold_header(machine_type) == fold_header(recording.machine)
    row = {
        "relative_path": path,
        "clip_id": path.removeprefix("audio/").rpartition(".")[0].replace("/", "__"),
        "machine_type": machine_type,
        "section_id": "-".join(filter(None, ("" if same_word else recording.machine, recording.section, beside))),
        "recorded_at": packing.recorded_at or data.published,
        "operator_confirmed": "true" if recording.split == "train" else "",
        "split": recording.split,
        "domain": recording.domain,
        "label": recording.label,
        "snr_db": recording.snr_db,
        "supp_type": recording.supp_type,
        "modality": "sound",
        **conditions(recording.attributes, microphone),
    }
    return Entry(recording, channel, path, row)


def _microphone(channel: int, data: DataSet) -> str:
    """What a channel is called; of a whole file ALP hears the first."""
    if data.microphones:
        return data.microphones[max(channel, 1) - 1]
    return f"channel{channel}" if channel else ""
