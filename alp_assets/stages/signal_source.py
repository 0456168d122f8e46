"""Reading the signal recordings of a package as its table describes them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alp_assets.errors import DecodingStopped
from alp_assets.params import QualityParams
from alp_assets.signals.decode import decoded_signal
from alp_assets.signals.recording import SignalRecording
from alp_assets.stages.audio_source import streamed

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

SIGNAL_FILES = (".csv", ".npy", ".parquet", ".mat")
"""Endings that no sound has: such a file holds a signal, whatever the table says of it."""

TEXT_FILES = (".txt", ".tsv", ".dat", ".asc")
"""Endings of text, which under ``signals/`` is a signal."""


def read_row(
    archive: PackageArchive, row: Mapping[Hashable, Any], scratch: Path, limits: QualityParams
) -> SignalRecording:
    """The recording of a row of the metadata, read in a decoder's process.

    Raises:
        SignalUnreadable: why it cannot be used, and what to do.
        AudioUnreadable: its entry in the zip is damaged, or reading was stopped.
    """
    rate, channels = row["sample_rate_hz"], row["channels"]
    try:
        with streamed(archive, str(row["file"]), scratch) as stream:
            return decoded_signal(
                stream,
                str(row["file"]),
                limits,
                modality=str(row["modality"]),
                sample_rate_hz=float(rate) if rate is not None and np.isfinite(rate) else None,
                channels=channels if isinstance(channels, str) else "",
            )
    except DecodingStopped as error:
        raise DecodingStopped(error.problem, str(row["file"])) from error
