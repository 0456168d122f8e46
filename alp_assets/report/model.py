"""What a report is made from: plain values that the report stage gathers and the templates show.

Shares and rates are fractions (0.1 is 10 %), intervals are (low, high), scores grow with abnormality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.problems import Problem

NORMAL = "normal"
ANOMALY = "anomaly"
UNKNOWN = "unknown"

LABELS = (NORMAL, ANOMALY, UNKNOWN)
DECISIONS = (NORMAL, ANOMALY)

SectionState = Literal["scored", "cannot_score"]


@dataclass(frozen=True, eq=False)
class ClipView:
    """One clip that is shown with its spectrogram.

    ``severity`` lies in 0 to 100, ``decision`` is one of ``DECISIONS``, ``label`` is what the customer
    said (one of ``LABELS``) or None. ``samples`` is the waveform, float32 of shape (n,), full scale 1.
    """

    clip_id: str
    recording: str
    score: float
    threshold: float
    severity: float
    decision: str
    label: str | None
    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise ValueError(f"clip {self.clip_id}: decision {self.decision!r} is none of {DECISIONS}")

    @property
    def flagged(self) -> bool:
        """Whether this clip rings the alarm."""
        return self.decision == ANOMALY


@dataclass(frozen=True, eq=False)
class SectionView:
    """One physical machine: its model, its threshold and promise, its scores.

    ``reason`` says why this engine was chosen or, for ``cannot_score``, why there is no score.
    ``model_origin`` is the package that the champion was fitted on. ``promised_false_alarm_rate`` is the rate
    that the calibration scores support; ``promise_supported`` is false where they are too few for the rate
    that was asked for, and ``promise_note`` then says so. A clip rings when its score is above ``threshold``.
    ``observed_*`` count normals that the
    model had not seen and how many of them would have rung; ``observed_interval`` is for their share,
    at ``interval_confidence``. ``test_scores``, ``test_labels`` and ``test_decisions`` are parallel,
    one entry for each scored clip; ``calibration_scores`` has shape (m,).
    ``top`` holds the clips to show, most anomalous first.
    """

    machine_type: str
    section_id: str
    state: SectionState
    reason: str
    engine: str | None
    encoder: str | None
    model_version: str | None
    model_origin: str | None
    normals_source: int
    normals_target: int
    threshold: float | None
    promised_false_alarm_rate: float | None
    promise_supported: bool
    promise_note: str
    observed_false_alarms: int | None
    observed_normals: int | None
    observed_interval: tuple[float, float] | None
    auc_source: float | None
    auc_target: float | None
    pauc: float | None
    metrics_note: str
    calibration_scores: NDArray[np.floating]
    test_scores: NDArray[np.floating]
    test_labels: tuple[str, ...]
    test_decisions: tuple[str, ...]
    top: tuple[ClipView, ...]
    interval_confidence: float = 0.95

    def __post_init__(self) -> None:
        name = f"section {self.machine_type}/{self.section_id}"
        if not len(self.test_scores) == len(self.test_labels) == len(self.test_decisions):
            raise ValueError(f"{name}: test scores, labels and decisions differ in number")
        _refuse_unknown(name, "label", self.test_labels, LABELS)
        _refuse_unknown(name, "decision", self.test_decisions, DECISIONS)

    @property
    def scored(self) -> bool:
        """Whether this section has a model and scores."""
        return self.state == "scored"

    @property
    def flagged(self) -> int:
        """How many clips ring the alarm."""
        return self.test_decisions.count(ANOMALY)

    @property
    def labelled(self) -> bool:
        """Whether any scored clip has a label."""
        return any(label != UNKNOWN for label in self.test_labels)


@dataclass(frozen=True)
class RecordingRow:
    """One recording that was set aside, and why.

    ``row`` is the row of the table as Excel numbers it, ``rms_dbfs`` the level against full scale.
    What could not be measured is None.
    """

    recording: str
    row: int | None
    machine_type: str
    section_id: str
    verdict: str
    reasons: tuple[str, ...]
    duration_s: float | None
    sample_rate_hz: int | None
    channels: int | None
    rms_dbfs: float | None


@dataclass(frozen=True, eq=False)
class ReportView:
    """Everything that one package's report shows.

    ``received_at`` is text as the receipt has it; ``hours`` is the length of the accepted recordings;
    ``parameters`` is YAML text; ``versions`` maps a library or model to its version.
    """

    customer: str
    package: str
    received_at: str
    original_name: str
    sha256: str
    bytes: int
    recordings_received: int
    recordings_accepted: int
    clips: int
    hours: float
    set_aside: tuple[RecordingRow, ...]
    problems: list[Problem]
    sections: tuple[SectionView, ...]
    metrics_overall: Mapping[str, float | None]
    parameters: str
    versions: Mapping[str, str]


def _refuse_unknown(name: str, what: str, words: tuple[str, ...], known: tuple[str, ...]) -> None:
    strange = sorted(set(words) - set(known))
    if strange:
        raise ValueError(f"{name}: {what} {strange[0]!r} is none of {known}")
