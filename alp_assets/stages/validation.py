"""The recordings that a customer labelled for validation: looked at while a model is made, never learnt from.

Test recordings are something else: they say how good a model is, and must not help to make it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from schemas.sections import Section

VALIDATION = "validation"
"""The split."""

UNSCORED = ("supplemental", VALIDATION)
"""Splits of which no clip is scored."""


@dataclass(frozen=True)
class ValidationPart:
    """Clips (n) for validation of a section: their ``positions`` in the manifest, and which are ``anomalous``.

    ``names`` tell each with the fingerprint of its recording.
    """

    names: list[str]
    positions: npt.NDArray[np.int64]
    anomalous: npt.NDArray[np.bool_]


def validation_part(clips: pd.DataFrame, section: Section) -> ValidationPart | None:
    """The clips of a manifest for validation of a section; nothing unless there are normal and anomalous ones.

    Clips of an anomalous recording that lie outside of its anomalous regions are neither.
    """
    rows = clips[
        (clips["machine_type"] == section.machine_type)
        & (clips["section_id"] == section.section_id)
        & (clips["split"] == VALIDATION)
        & clips["label"].isin(["normal", "anomaly"])
    ]
    anomalous = (rows["label"] == "anomaly").to_numpy(bool)
    if not len(rows) or anomalous.all() or not anomalous.any():
        return None
    names = (rows["clip_id"] + "/" + rows["audio_sha256"]).tolist()
    return ValidationPart(names, rows.index.to_numpy(np.int64), anomalous)


def unused(clips: pd.DataFrame, section: Section, engines: Collection[str]) -> str:
    """Why the recordings that a section has for validation are not looked at by the engines that it gets.

    Empty where there are none, or where one of them looks at them.
    """
    own = (clips["machine_type"] == section.machine_type) & (clips["section_id"] == section.section_id)
    if not (own & (clips["split"] == VALIDATION)).any():
        return ""
    if "time_moe" not in engines:
        return "The recordings for validation were not used, which only time_moe does"
    if validation_part(clips, section) is None:
        return "The recordings for validation were not used, which takes normal and anomalous ones"
    return ""
