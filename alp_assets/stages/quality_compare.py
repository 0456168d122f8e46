"""Recordings held against each other: copies, other settings, and what is unlike the rest of a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.params import QualityParams
from alp_assets.stages.quality_conditions import gusts, hum, signal_to_noise
from alp_assets.stages.quality_copies import near_copies
from alp_assets.stages.quality_fit import better_fits
from alp_assets.stages.quality_gain import level_steps, steps_inside
from alp_assets.stages.quality_heard import Heard, heard_of
from alp_assets.stages.recording_verdict import as_json, from_json, is_fatal, sentences
from schemas.modalities import SOUND
from schemas.problems import Problem

OK, SET_ASIDE = "ok", "set aside"


def verdict(problems: Sequence[Problem]) -> dict[str, str]:
    """The columns of the quality table that tell of a recording's problems."""
    return {
        "verdict": SET_ASIDE if is_fatal(problems) else OK,
        "reasons": "\n".join(sentences(problems, "error")),
        "warnings": "\n".join(sentences(problems, "warning")),
        "problems": as_json(problems),
    }


def same_audio(table: pd.DataFrame) -> None:
    """Set aside all but the first of recordings with the same samples; warn of sound at other sample rates."""
    more: dict[int, list[Problem]] = {}
    usable = table[table["verdict"] == OK]
    first = usable.groupby("audio_sha256")["recording"].transform("first")
    for index in usable.index[usable["audio_sha256"].duplicated()]:
        code = "same_audio" if usable.at[index, "modality"] == SOUND else "signal_same"
        more[index] = [Problem("error", code, {"other": str(first[index])})]
    sounds = usable[usable["modality"] == SOUND].drop(index=list(more), errors="ignore")
    for _, rows in sounds.groupby(["machine_type", "section_id"]):
        usual = int(rows["sample_rate_hz"].mode().iloc[0])
        for index, rate in rows.loc[rows["sample_rate_hz"] != usual, "sample_rate_hz"].items():
            more[int(str(index))] = [Problem("warning", "rate_differs", {"rate": int(rate), "usual": usual})]
    add_problems(table, more)


def compare(
    table: pd.DataFrame,
    metadata: pd.DataFrame,
    profiles: FloatArray,
    limits: QualityParams,
    listen: Callable[[str], FloatArray],
) -> Heard:
    """Fill the columns of a quality table that only all recordings together give, and warn of what is unusual.

    The rows of the table and of ``profiles`` (n, 128) are in the same order; ``listen`` gives an excerpt of a
    recording by path. Returns the usable recordings.
    """
    heard = heard_of(table, metadata, profiles)
    at = heard.table["at"].to_numpy(np.intp)
    snr, faint = signal_to_noise(heard, limits)
    steps, stepped = level_steps(heard, limits)
    copies, copied = near_copies(heard, limits, listen)
    fits, misplaced = better_fits(heard, limits)
    columns: dict[str, Sequence[float] | Sequence[str]] = {
        "snr_estimate_db": snr.tolist(),
        "level_step_db": steps.tolist(),
        "near_copy_of": copies,
        "fits_section": fits,
    }
    rows = table.index[at]
    for name, values in columns.items():
        table.loc[rows, name] = pd.Series(values, rows, dtype=table[name].dtype)
    found = (
        faint,
        hum(heard, limits),
        gusts(heard, limits),
        stepped,
        steps_inside(heard, limits),
        copied,
        misplaced,
    )
    more: dict[int, list[Problem]] = {}
    for problems in found:
        for row, problem in problems.items():
            more.setdefault(int(at[row]), []).append(problem)
    add_problems(table, more)
    return heard


def add_problems(table: pd.DataFrame, more: Mapping[int, Sequence[Problem]]) -> None:
    """Tell of more problems, by row."""
    for index, problems in more.items():
        known = from_json(str(table.at[index, "problems"]), 0, "")
        for name, cell in verdict([*known, *problems]).items():
            table.at[index, name] = cell
