"""What a report is made from: plain values that the report stage gathers and the templates show.

Shares and rates are fractions (0.1 is 10 %), intervals are (low, high), scores grow with abnormality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alp_assets.report.words import Holds, Words
from schemas.problems import Problem

NORMAL = "normal"
ANOMALY = "anomaly"
UNKNOWN = "unknown"

LABELS = (NORMAL, ANOMALY, UNKNOWN)
DECISIONS = (NORMAL, ANOMALY)

STATES = ("NORMAL", "WARNING", "CRITICAL")
KPI_STATUSES = ("met", "not met", "cannot be shown")

SectionState = Literal["scored", "cannot_score"]

SOURCE = "source"
TARGET = "target"

MEASURES = ("auc", "pauc", "recall", "alarms_per_day")

Why = Literal[
    "asked", "pinned", "enough_source", "enough_target", "few_without_weights", "few", "conditions", "signals",
    "signals_much", "other",
]  # fmt: skip
"""Why a section got its engine."""

WhyNot = Literal["no_normals", "too_few_normals", "damaged", "other"]
"""Why a section has no score."""

WhyUnheard = Literal["not_measured", "none_left", "none_quiet", "none_scored", "signals", "other"]
"""Why nothing is known of what a model would hear."""


@dataclass(frozen=True)
class KpiView:
    """Whether what was agreed with the customer is reached: one of ``KPI_STATUSES``.

    ``measure`` is one of ``MEASURES``; ``value`` with its interval ``low`` to ``high`` is None without labels.
    ``more_clips`` are further labelled clips, by label, that would settle it, None where that cannot be said.
    """

    status: str
    measure: str
    target: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    more_clips: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        _refuse_unknown("KPI", "status", (self.status,), KPI_STATUSES)
        _refuse_unknown("KPI", "measure", (self.measure,), MEASURES)


@dataclass(frozen=True)
class HeardView:
    """What a model would hear of one kind of synthetic anomaly, put into so many ``clips``.

    ``tried`` is how many held-out clips there were, of which those that the threshold flags as they are were left
    out; None where that is not known. Without ``clips`` nothing could be measured.

    ``caught_at_db`` is the faintest level at which the threshold catches as many as it must, None where it does
    so at no level. ``shares`` are pairs of a level that was tried and the share that was caught there, plainest
    first. Levels are dB relative to the machine's own sound; of the kind ``dropout`` they say how far it sinks.
    """

    kind: str
    caught_at_db: float | None
    shares: tuple[tuple[float, float], ...]
    clips: int
    tried: int | None = None


@dataclass(frozen=True)
class OpinionView:
    """A second engine's view of a section's clips; with ``problem`` it has none, and that is why, in English."""

    engine: str
    flagged: int | None = None
    threshold: float | None = None
    auc: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class ClipOpinion:
    """What a second engine makes of one clip, on its own scale of scores; NaN where it cannot score it."""

    engine: str
    score: float
    threshold: float
    severity: float
    state: str
    decision: str

    def __post_init__(self) -> None:
        _refuse_unknown(f"opinion of {self.engine}", "decision", (self.decision,), DECISIONS)
        if self.scored:
            _refuse_unknown(f"opinion of {self.engine}", "state", (self.state,), STATES)

    @property
    def scored(self) -> bool:
        """Whether the engine could score the clip."""
        return math.isfinite(self.score)

    @property
    def flagged(self) -> bool:
        """Whether the score is above that engine's threshold."""
        return self.decision == ANOMALY


@dataclass(frozen=True)
class CauseView:
    """A rule that a clip broke: what may lie behind it, what to do, and the figures, both in ``unit``."""

    engine: str
    cause: Words
    action: Words
    measured: float
    limit: float
    unit: str
    grade: str = "warning"


@dataclass(frozen=True, eq=False)
class ClipView:
    """One clip that is shown with its spectrogram, or with its channels over time.

    ``severity`` lies in 0 to 100, ``state`` is one of ``STATES``, ``decision`` one of ``DECISIONS``, ``label``
    is what the customer said (one of ``LABELS``) or None. ``path`` leads to its sound in the stage ``clips``;
    ``samples`` is the waveform, float32 of shape (n,),
    full scale 1. ``anomaly_map`` (bands, time), lowest band first, says where the clip is unlike the normals;
    it spans ``map_seconds`` from the clip's start, which may be more than was recorded.

    Of a signal ``channels`` are the roles, ``samples`` are (channels, n) as measured, and the map is
    (channels, time).
    """

    clip_id: str
    recording: str
    path: str
    score: float
    threshold: float
    severity: float
    decision: str
    label: str | None
    samples: NDArray[np.float32]
    sample_rate: float
    state: str
    opinions: tuple[ClipOpinion, ...] = ()
    causes: tuple[CauseView, ...] = ()
    recorded_at: datetime | None = None
    anomaly_map: NDArray[np.floating] | None = None
    map_seconds: float = 10.0
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _refuse_unknown(f"clip {self.clip_id}", "decision", (self.decision,), DECISIONS)
        _refuse_unknown(f"clip {self.clip_id}", "state", (self.state,), STATES)
        if self.anomaly_map is not None and (self.anomaly_map.ndim != 2 or not self.anomaly_map.size):
            raise ValueError(f"clip {self.clip_id}: the map has shape {self.anomaly_map.shape}, not (bands, time)")

    @property
    def flagged(self) -> bool:
        """Whether the score is above the threshold."""
        return self.decision == ANOMALY


@dataclass(frozen=True)
class Point:
    """One clip of a section in its plots. ``score`` is None for clips that are not scored.

    ``place`` is where it lies on the map of the embeddings, None where there is no map.
    """

    clip_id: str
    split: str
    domain: str
    label: str
    recorded_at: datetime | None = None
    score: float | None = None
    place: tuple[float, float] | None = None


@dataclass(frozen=True)
class Effect:
    """What one value of a condition does to the scores of normal clips.

    ``n`` normals have the ``value`` of the ``column`` and the ``median`` score; ``shift`` is the difference
    from the median of the section's other normals, as a share of the way from their median to the threshold.
    ``chance`` is how likely so great a difference is if the value made none, None where they are too few to say.
    """

    column: str
    value: str
    n: int
    median: float
    shift: float
    chance: float | None


@dataclass(frozen=True)
class Supply:
    """What a section's data hold, for advice on what to send next.

    ``noise_only`` counts recordings of noise alone; ``days`` on how many days the normals were recorded;
    ``values`` are how many values each condition takes among the normals, 0 where it was never filled in.
    """

    noise_only: int = 0
    days: int = 0
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PromiseView:
    """What the normals bear of what was asked of the threshold.

    ``asked`` is the rate of clips that was asked for; ``witnesses`` are the recordings of each domain whose
    normals set the threshold; ``supported`` is false where they are too few even for ``promised``.
    """

    promised: float
    asked: float
    supported: bool
    extrapolated: bool
    policy: str
    witnesses: Mapping[str, int]


@dataclass(frozen=True)
class TrainingView:
    """How a network with experts was trained: steps, and shares of the points that experts of a layer got.

    ``errors`` are those of forecasts of normal clips, a role with an error for each of the ``horizons``.
    """

    size: str
    steps: int
    experts: int
    least_used: float
    most_used: float
    idle: int
    horizons: tuple[int, ...]
    errors: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, eq=False)
class SectionView:
    """One physical machine: its model, its threshold and promise, its scores.

    ``why`` says why this engine was chosen and ``why_not`` why there is no score; ``reason`` is the stage's own
    sentence, in English, for what neither tells. ``left_out`` names earlier packages that could not be used.
    ``model_origin`` is the package that the champion was fitted on. A clip is flagged when its score is above
    ``threshold``. The alarm rings when k of the last n clips are flagged, ``persistence`` (k, n), or at each
    flagged clip where that is None; ``alarms_per_day`` is how often a healthy machine is expected to ring it.
    ``observed_*`` count normals that the model had not seen and how many of them were flagged;
    ``observed_interval`` is for their share, at ``interval_confidence``. ``test_scores``, ``test_labels`` and
    ``test_decisions`` are parallel, one entry for each scored clip; ``calibration_scores`` has shape (m,).
    ``auc_recordings`` is of whole recordings, by the mean of their clips, None where each is one clip or no label
    tells. ``signal`` is what was measured where it is no sound, else empty; ``training`` is there for a network
    with experts.
    ``states`` counts the scored clips by state; from ``critical_severity`` a clip is CRITICAL.
    ``top`` holds the clips to show, most anomalous first; ``points`` all clips, ``spread`` the shares of the
    variance of the embeddings that the two axes of their map hold, None without a map.
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
    promise: PromiseView | None
    observed_false_alarms: int | None
    observed_normals: int | None
    observed_interval: tuple[float, float] | None
    auc: float | None
    auc_source: float | None
    auc_target: float | None
    pauc: float | None
    calibration_scores: NDArray[np.floating]
    test_scores: NDArray[np.floating]
    test_labels: tuple[str, ...]
    test_decisions: tuple[str, ...]
    top: tuple[ClipView, ...]
    why: Why = "other"
    why_not: WhyNot = "other"
    left_out: tuple[str, ...] = ()
    few_target: int = 10
    min_normals: int = 2
    interval_confidence: float = 0.95
    persistence: tuple[int, int] | None = None
    alarms_per_day: float | None = None
    kpi: KpiView | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    critical_severity: float = 75.0
    hears: tuple[HeardView, ...] = ()
    why_unheard: WhyUnheard = "other"
    caught_share: float = 0.95
    opinions: tuple[OpinionView, ...] = ()
    points: tuple[Point, ...] = ()
    spread: tuple[float, float] | None = None
    effects: tuple[Effect, ...] = ()
    supply: Supply = field(default_factory=Supply)
    auc_recordings: float | None = None
    signal: str = ""
    training: TrainingView | None = None

    def __post_init__(self) -> None:
        name = f"section {self.machine_type}/{self.section_id}"
        if not len(self.test_scores) == len(self.test_labels) == len(self.test_decisions):
            raise ValueError(f"{name}: test scores, labels and decisions differ in number")
        _refuse_unknown(name, "label", self.test_labels, LABELS)
        _refuse_unknown(name, "decision", self.test_decisions, DECISIONS)
        _refuse_unknown(name, "state", tuple(self.states), STATES)

    @property
    def holds(self) -> Holds:
        """What its recordings hold."""
        return "signals" if self.signal else "sound"

    @property
    def scored(self) -> bool:
        """Whether this section has a model and scores."""
        return self.state == "scored"

    @property
    def flagged(self) -> int:
        """How many clips lie above the threshold."""
        return self.test_decisions.count(ANOMALY)

    def labelled(self, label: str) -> int:
        """How many scored clips of this package have a label."""
        return self.test_labels.count(label)


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
    reasons: tuple[Words, ...]
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
    parameters: str
    versions: Mapping[str, str]

    @property
    def holds(self) -> Holds:
        """What the recordings of its machines hold; without any machine it is taken for sound."""
        found = {section.holds for section in self.sections} or {"sound"}
        return found.pop() if len(found) == 1 else "both"


def _refuse_unknown(name: str, what: str, words: tuple[str, ...], known: tuple[str, ...]) -> None:
    strange = sorted(set(words) - set(known))
    if strange:
        raise ValueError(f"{name}: {what} {strange[0]!r} is none of {known}")
