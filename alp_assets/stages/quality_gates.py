"""What the warnings about recordings come to: a gate for each kind, which never stops a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alp_assets.stages.summary import Figure, Gate, counted
from schemas.modalities import SOUND
from schemas.problems import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Kind:
    """A gate: the codes of its problems, what was warned of, what holds otherwise, and columns with figures."""

    gate: str
    codes: tuple[str, ...]
    warned: str
    fine: str
    columns: tuple[str, ...] = ()


_KINDS = (
    _Kind(
        "signal_to_noise",
        ("snr_low",),
        "hardly stand out of the background.",
        "All recordings stand out of the background, as far as noise-only recordings show.",
        ("snr_estimate_db",),
    ),
    _Kind("mains_hum", ("mains_hum",), "hum with the mains.", "No hum of the mains.", ("hum_db",)),
    _Kind(
        "wind_and_handling",
        ("gusts",),
        "hold gusts of wind or thumps.",
        "No gusts of wind, no thumps of handling.",
        ("gusts_db",),
    ),
    _Kind(
        "clipping",
        ("clipped", "clipped_little", "clipped_runs"),
        "are clipped.",
        "No clipping.",
        ("clipping_runs", "longest_clipping_ms"),
    ),
    _Kind(
        "steady_gain",
        ("level_step", "gain_step_inside"),
        "look as if the gain had been changed.",
        "No step of the gain.",
        ("level_step_db",),
    ),
    _Kind(
        "near_copies",
        ("near_copy",),
        "are copies of others, scaled, shifted or encoded anew.",
        "No recording is a copy of another.",
    ),
    _Kind(
        "right_section",
        ("fits_other_section",),
        "sound more like another machine than like their own.",
        "No recording sounds more like another machine than like its own.",
    ),
)


def warning_gates(table: pd.DataFrame, problems: Sequence[Problem], drifts: Mapping[str, float]) -> list[Gate]:
    """The gates over a quality table, its problems, and the drift of its machines in dB by name."""
    return [_gate(kind, table, problems) for kind in _KINDS] + [_drift_gate(problems, drifts)]


def _gate(kind: _Kind, table: pd.DataFrame, problems: Sequence[Problem]) -> Gate:
    rows = {problem.row for problem in problems if problem.code in kind.codes}
    figures: dict[str, Figure] = {"warned": len(rows)}
    for name in kind.columns:
        cells = table[name].to_numpy(float)
        cells = cells[np.isfinite(cells)]
        if len(cells):
            figures |= {f"median_{name}": _rounded(np.median(cells)), f"lowest_{name}": _rounded(cells.min())}
            figures |= {f"highest_{name}": _rounded(cells.max())}
    if not rows:
        heard = (table["modality"] == SOUND).any() or not len(table)
        return Gate(kind.gate, "passed", kind.fine if heard else "No recording holds sound.", figures)
    return Gate(kind.gate, "warned", f"{len(rows):,} of {counted(len(table), 'recording')} {kind.warned}", figures)


def _drift_gate(problems: Sequence[Problem], drifts: Mapping[str, float]) -> Gate:
    told = [problem for problem in problems if problem.code == "drift"]
    figures: dict[str, Figure] = {"compared": len(drifts), "warned": len(told)}
    if drifts:
        worst = max(drifts, key=lambda name: drifts[name])
        figures |= {"largest_db": drifts[worst], "largest_of": worst}
    if told:
        names = ", ".join(str(problem.values["section"]) for problem in told[:5])
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        return Gate("drift", "warned", f"Unlike in earlier packages: {names}{more}.", figures)
    text = "All machines sound as in earlier packages." if drifts else "No earlier package to compare with."
    return Gate("drift", "passed", text, figures)


def _rounded(value: float) -> float:
    return round(float(value), 2)
