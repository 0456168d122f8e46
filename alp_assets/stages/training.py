"""Trainings that may take hours, and go on where a killed run left them.

A stage's folder comes into being as a whole, so a training that is under way cannot live there. Its normals, as
a window store, its checkpoints and its ``metrics.jsonl`` lie in ``cache/training/<package>/<section>`` of the data
root. Another run resumes a training only where all that decides it is the same, and begins anew otherwise. Once
the stage has its folder, they are deleted.

A training gives the same bytes every time, killed or not, with one exception: heartbeats that come by the clock
while recordings for validation are there, since where they find a low F1 they bend the loss.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import Feature
from alp_assets.engines.time_moe.checkpoint import METRICS_FILE, MetricsLog
from alp_assets.engines.time_moe.engine import Labelled, TimeMoe
from alp_assets.errors import PackageBusy
from alp_assets.files import write_bytes
from alp_assets.params import DecisionParams
from alp_assets.stages.corpus import Census, Corpus, Shelf
from alp_assets.stages.feedback import ANOMALY, NORMAL
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.unfinished import working_place
from alp_assets.stages.validation import ValidationPart, validation_part
from alp_assets.stages.window_store import stored
from schemas.sections import Section

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.heartbeat import Beat

Watch = Callable[[Section, "Beat"], None]
"""Is told of every heartbeat of a section's training, in the thread that trains."""


def long_training(
    shelf: Shelf,
    census: Census,
    engine: TimeMoe,
    feature: Feature,
    decision: DecisionParams,
    watch: Watch | None = None,
) -> tuple[TimeMoe, Corpus]:
    """The engine at its working place, and the normals of a census in a window store there.

    A conversion or a training that was killed goes on.
    """
    part = validation_part(shelf.clips, census.section)
    made_of = _made_of(shelf, census, engine, feature, decision, part)
    place = working_place(_place(shelf.folder) / census.section.folder, made_of)
    corpus = shelf.gather(census, engine, feature, place / "windows")
    labelled = None
    if part is not None:
        labelled = Labelled(_labelled_clips(shelf, part, census.section, feature, place), part.anomalous)
    told = partial(watch, census.section) if watch else None
    return TimeMoe(engine.params, place / "training", told, labelled, decision), corpus


def keep_metrics(engine: TimeMoe, place: Path) -> None:
    """The ``metrics.jsonl`` of a training beside its model, without times, which differ from run to run."""
    if engine.folder is None:
        return
    rows = MetricsLog(engine.folder).rows()
    lines = (json.dumps({key: row[key] for key in sorted(row) if key != "seconds"}) + "\n" for row in rows)
    write_bytes(place / METRICS_FILE, "".join(lines).encode())


def forget_trainings(folder: PackageFolder) -> None:
    """Delete what trainings of a package left, unless another process is at it already."""
    with suppress(PackageBusy), folder.lock():
        shutil.rmtree(_place(folder), ignore_errors=True)


def _labelled_clips(
    shelf: Shelf, part: ValidationPart, section: Section, feature: Feature, place: Path
) -> FloatArray:
    """The clips of a validation part in a store of their own: nothing of it can be drawn for training."""
    values = shelf.own(feature).values
    clips = zip(part.names, part.anomalous, part.positions, strict=True)
    sources = ((name, ANOMALY if bad else NORMAL, values, int(row)) for name, bad, row in clips)
    return stored(place / "labelled", section, sources)


def _place(folder: PackageFolder) -> Path:
    return folder.data_root / "cache" / "training" / folder.key


def _made_of(
    shelf: Shelf,
    census: Census,
    engine: TimeMoe,
    feature: Feature,
    decision: DecisionParams,
    part: ValidationPart | None,
) -> dict[str, Any]:
    import torch

    from alp_assets.version import code_version

    normals = census.table[["package", "clip_id", "domain", "recording"]].to_csv(index=False)
    labelled = [] if part is None else [part.names, part.anomalous.tolist()]
    return {
        "normals": hashlib.sha256(normals.encode()).hexdigest(),
        "labelled": hashlib.sha256(json.dumps(labelled).encode()).hexdigest(),
        "encoder": shelf.own(feature).encoder,
        "parameters": engine.params.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json"),
        "versions": {"alp": code_version(), "torch": torch.__version__},
    }
