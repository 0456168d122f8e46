"""Signal recordings in the stage clips: cut into pieces of so many points, in the standard rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alp_assets.params import Params
from alp_assets.signals.clean import cut, mended
from alp_assets.signals.recording import FloatArray
from alp_assets.signals.roles import ROWS, standard_rows
from alp_assets.stages.signal_source import read_row

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

FOLDER = "signals"


def signal_clips(
    archive: PackageArchive, record: Mapping[Hashable, Any], params: Params, part: Path
) -> list[dict[Hashable, Any]]:
    """Write the clips of a signal recording, float32 (4, points) without holes, and what differs in their rows.

    A remainder that is shorter than a clip is left out. Masked channels are kept; encoders leave them out.
    """
    recording = read_row(archive, record, part, params.quality)
    rate = recording.sample_rate_hz
    points = params.signals.clip_points
    found = cut(mended(standard_rows(recording)[0]), points)
    rows: list[dict[Hashable, Any]] = []
    for number, clip in enumerate(found):
        path = f"{FOLDER}/{record['row']:06d}-{number:04d}.npy"
        offset_s = number * points / rate
        np.save(part / path, clip, allow_pickle=False)
        rows.append(
            {
                "clip_id": record["clip_id"] if len(found) == 1 else f"{record['clip_id']}@{offset_s:.3f}s",
                "recording": record["relative_path"],
                "path": path,
                "offset_s": offset_s,
                "valid_samples": points,
                "sample_rate_hz": rate,
            }
        )
    return rows


def read_signal_clip(path: Path) -> FloatArray:
    """A clip (4, points) that ``signal_clips`` wrote."""
    clip: FloatArray = np.load(path, allow_pickle=False)
    return clip


def is_standard(path: Path, points: int) -> bool:
    """Whether a file on disk holds a clip in standard form."""
    try:
        clip = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return bool(clip.shape == (len(ROWS), points) and clip.dtype == np.float32)
