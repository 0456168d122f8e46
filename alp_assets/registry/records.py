"""What the registry holds: versions, decisions about them, thresholds and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from alp_assets.errors import AlpError
from schemas.sections import Section

What = Literal[
    "registered",
    "promoted",
    "withheld",
    "rolled_back",
    "archived",
    "pinned",
    "unpinned",
    "described",
    "threshold",
    "imported",
    "metrics",
]
ClipLabel = Literal["normal", "anomaly"]


class ModelMissing(AlpError):
    """There is no version of that id or name, or a section has none."""


class RegistryRefused(AlpError):
    """The registry cannot do what was asked. The text says why, and what to do."""


class RegistryAway(RegistryRefused):
    """The registry's database server does not answer, or broke off. It may be starting again."""


class State(StrEnum):
    """What a version is for its section."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    ARCHIVED = "archived"


@dataclass(frozen=True)
class Version:
    """One fitted model of a section, which nobody changes.

    Attributes:
        version: 16 hexadecimal digits of its content, unique in the registry.
        section: whose model it is.
        name: unique in the registry and readable.
        state: what it is for its section; at most one version of a section is the champion.
        pinned: whether the section's champion stays until it is unpinned.
        engine: name of the engine; ``letter`` is its letter.
        encoder: what made its embeddings; ``weights`` is the hash of that encoder's weights, or empty.
        package: the package whose run fitted it, received at ``received_at`` (ISO 8601).
        created_at: ISO 8601, UTC.
        packages: all packages whose normals it learnt from.
        clips: how many normals it learnt from; ``data_hash`` is the hash of which they were, or empty.
        parameters: those that decided it, as a tree.
        metrics: labelled figures of its own package, empty until that is scored.
        calibration: ``count``, ``mean``, ``deviation``, ``q50``, ``q90`` and ``q99`` of its calibration scores,
            ``support`` (recordings that these come from), ``promised`` (share of normal clips above the
            threshold), ``alarms_per_day`` and ``asked_per_day``, and ``sensitivity`` (the faintest anomaly that
            it catches, dB relative to the machine, mean over kinds); what is not known is left out.
        threshold: as fitted; NaN where it could not be read.
        folder: its files.
        files: SHA-256 by name, relative to ``folder``; ``bytes`` is their size together.
        code_version: the ALP that fitted it.
        description: what people wrote about it.
        reason: in words why it is in this state.
    """

    version: str
    section: Section
    name: str
    state: State
    pinned: bool
    engine: str
    letter: str
    encoder: str
    weights: str
    package: str
    received_at: str
    created_at: str
    packages: tuple[str, ...]
    clips: int
    data_hash: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    calibration: Mapping[str, float]
    threshold: float
    folder: Path
    files: Mapping[str, str]
    bytes: int
    code_version: str
    description: str
    reason: str


@dataclass(frozen=True)
class Event:
    """A decision about a version. ``before`` and ``after`` are states, or values where no state changed."""

    at: str
    who: str
    what: str
    version: str
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class ThresholdVersion:
    """A threshold that a version was given. Number 0 is the fitted one; the highest number is in force."""

    version: str
    number: int
    value: float
    note: str
    who: str
    at: str


@dataclass(frozen=True)
class Label:
    """What somebody says a clip of a package is: a false alarm is ``normal``, a real one ``anomaly``."""

    customer: str
    package: str
    clip_id: str
    label: ClipLabel
    note: str
    who: str
    at: str
