"""Signal recordings in the stage quality: each measured and judged, then held against the rest of its machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from alp_assets.errors import AudioUnreadable
from alp_assets.params import Params, SignalParams
from alp_assets.signals.measure import SignalMeasures, measure
from alp_assets.signals.recording import SignalRecording, SignalUnreadable
from alp_assets.signals.verdict import Limits, differing_rates, judge
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.recording_verdict import unreadable
from alp_assets.stages.signal_source import SIGNAL_FILES, TEXT_FILES, read_row
from schemas.modalities import is_signal, modality_of
from schemas.problems import Problem

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

SIGNALS_FILE = "signals.parquet"

Cells = dict[Hashable, object]


@dataclass(frozen=True)
class SignalFound:
    """What is known of a signal recording: its problems, cells of the quality table, rows of the measures."""

    problems: list[Problem]
    cells: Cells
    channels: list[Cells]


def limits_of(params: SignalParams) -> Limits:
    """The limits of the parameters."""
    return Limits(**{item.name: getattr(params, item.name) for item in fields(Limits)})


def unnamed_signal(row: Mapping[Hashable, Any]) -> Problem | None:
    """The problem of a file that can only hold a signal where the table does not say which."""
    path = PurePosixPath(str(row["file"]).lower())
    measured = path.suffix in SIGNAL_FILES or ("signals" in path.parts and path.suffix in TEXT_FILES)
    told = is_signal(row["modality"]) or not measured
    return None if told else Problem("error", "signal_modality_missing")


def examine(archive: PackageArchive, row: Mapping[Hashable, Any], params: Params, scratch: Path) -> SignalFound:
    """Read, measure and judge the recording of a row of the metadata."""
    try:
        recording = read_row(archive, row, scratch, params.quality)
    except SignalUnreadable as error:
        return SignalFound([error.problem], {}, [])
    except AudioUnreadable as error:
        return SignalFound([unreadable(error)], {}, [])
    return examined(recording, row, params)


def examined(recording: SignalRecording, row: Mapping[Hashable, Any], params: Params) -> SignalFound:
    """Measure and judge a recording that was read."""
    measured = measure(recording)
    learned = row["split"] == "train"
    judged = judge(recording, measured, limits_of(params.signals), learned=learned, modality=str(row["modality"]))
    return SignalFound(list(judged), _form(recording), _channels(recording, measured, row))


def signal_points(folder: PackageFolder) -> dict[int, int]:
    """How many points the signal recordings of a measured package have, by row of the table."""
    path = folder.stage("quality") / SIGNALS_FILE
    if not path.is_file():
        return {}
    found = pd.read_parquet(path, columns=["row", "points"]).drop_duplicates("row")
    return dict(zip(found["row"].tolist(), found["points"].tolist(), strict=True))


def odd_ones(table: pd.DataFrame, channels: pd.DataFrame, masked: tuple[str, ...]) -> dict[int, list[Problem]]:
    """Problems by row of a quality table: signal recordings that do not fit the rest of their machine.

    A model takes one kind of recording at one rate with the same channels, so those that differ from most are
    set aside. ``channels`` are the measures, a row for each channel; ``masked`` ones may be missing.
    """
    usable = table[table["verdict"] == "ok"]
    found: dict[int, list[Problem]] = {}
    by_recording = {str(name): rows for name, rows in channels.groupby("recording")}
    for _, rows in usable.groupby(["machine_type", "section_id"]):
        odd = _other_modality(rows)
        rows = rows.drop(index=list(odd))
        names = {int(str(at)): str(name) for at, name in rows["recording"].items()}
        signals = {at: by_recording[name] for at, name in names.items() if name in by_recording}
        rates = {str(at): float(part["sample_rate_hz"].iloc[0]) for at, part in signals.items()}
        odd |= {int(at): problem for at, problem in differing_rates(rates).items()}
        odd |= _lacking({at: set(part["role"]) - set(masked) for at, part in signals.items() if at not in odd})
        for at, problem in odd.items():
            found.setdefault(at, []).append(problem)
    return found


def _other_modality(rows: pd.DataFrame) -> dict[int, Problem]:
    """Recordings that hold something else than the machine's normals, or than most where there are none."""
    normals = rows[rows["split"] == "train"]
    usual = Counter((normals if len(normals) else rows)["modality"]).most_common(1)[0][0]
    return {
        int(str(at)): Problem("error", "signal_modality_in_section", {"modality": name, "usual": usual})
        for at, name in rows["modality"].items()
        if name != usual
    }


def _lacking(roles: Mapping[int, set[str]]) -> dict[int, Problem]:
    """Recordings without a channel that most of the machine's have."""
    counts = Counter(role for found in roles.values() for role in found)
    usual = {role for role, count in counts.items() if 2 * count > len(roles)}
    return {
        at: Problem("error", "signal_roles_in_section", {"roles": sorted(usual - found)})
        for at, found in roles.items()
        if usual - found
    }


def _form(recording: SignalRecording) -> Cells:
    """The columns of the quality table that a signal fills."""
    digest = hashlib.sha256(f"{recording.sample_rate_hz:.6g} {' '.join(recording.roles)} ".encode())
    digest.update(recording.values.data)
    return {
        "container": recording.container,
        "sample_rate_hz": round(recording.sample_rate_hz),
        "channels": len(recording.roles),
        "duration_s": recording.duration_s,
        "audio_sha256": digest.hexdigest(),
    }


def _channels(recording: SignalRecording, measured: SignalMeasures, row: Mapping[Hashable, Any]) -> list[Cells]:
    phases, clock = measured.phases, recording.clock
    whole: Cells = {
        "recording": row["recording"],
        "row": row["row"],
        "modality": modality_of(row["modality"]),
        "sample_rate_hz": measured.sample_rate_hz,
        "points": measured.points,
        "mains_hz": measured.mains_hz,
        "imbalance": phases.imbalance if phases else None,
        "phase_order": phases.order if phases else "",
        "upside_down": phases.upside_down if phases else "",
        "negative_sequence": phases.negative if phases else None,
        "zero_sequence": phases.zero if phases else None,
        "jitter": clock.jitter if clock else None,
        "gaps": clock.gaps if clock else 0,
        "points_lost": clock.missing if clock else 0,
        "spikes": recording.spikes.count,
    }
    return [
        whole | {"channel": name} | dict(asdict(channel).items())
        for name, channel in zip(recording.names, measured.channels, strict=True)
    ]
