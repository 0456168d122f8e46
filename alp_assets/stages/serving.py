"""The model that a section is scored with, its second opinions, and what each makes of the clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.decision.severity import severity, state
from alp_assets.encoders.base import Feature
from alp_assets.engines.base import Evidence, Model, Scores
from alp_assets.engines.store import StoredModel, load_model, second_folders
from alp_assets.errors import ModelCorrupt, ModelUnsuited, StageMissing
from alp_assets.params import DecisionParams
from alp_assets.signals.clock import agree
from alp_assets.stages.embeddings import Embedded, read_embeddings
from alp_assets.stages.in_force import threshold_in_force
from alp_assets.stages.models import read_threshold
from alp_assets.stages.package import PackageFolder
from schemas.modalities import SOUND
from schemas.sections import Section

_READ_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Serving:
    """The model folder that a section is scored with, and the package it was fitted on."""

    folder: Path
    version: str
    package: str


@dataclass(frozen=True)
class Loaded:
    """A model with its card, its threshold in force (as ``threshold.json`` has it), and the clips to score."""

    stored: StoredModel
    threshold: dict[str, Any]
    embedded: Embedded

    @property
    def engine(self) -> str:
        """The engine's name."""
        return str(self.stored.card["engine"])


def serving_model(folder: PackageFolder, section: Section) -> Serving | None:
    """The model of this package for a section, else the section's champion, else nothing.

    Raises:
        ModelCorrupt: any file of it is not as it was registered.
    """
    from alp_assets.registry.registry import Registry, content_hash, verify

    registry = Registry(folder.data_root)
    own = folder.stage("models") / section.folder
    if (own / "model.json").is_file():
        version = content_hash(own)
        known = {item.version for item in registry.versions(section) if item.package == folder.package}
        if known and version not in known:
            raise ModelCorrupt(
                f"{own}: the files of this model are not those that were registered: they were changed since, or "
                f"the stage models was interrupted. Run the stage models of {folder.key} again."
            )
        return Serving(own, version, folder.package)
    champion = registry.champion(section)
    if champion is None:
        return None
    verify(champion)
    return Serving(champion.folder, champion.version, champion.package)


def load_serving(
    folder: PackageFolder, serving: Serving, clips: pd.DataFrame | None = None
) -> tuple[Loaded, list[Loaded]]:
    """The model and those second opinions that can score this package, or these ``clips`` of its manifest.

    Raises:
        ModelCorrupt: the model does not match its checksums.
        ModelUnsuited: the package has no embeddings of the kind that the model was fitted on, or its recordings
            hold something else or were measured at another rate.
    """
    from alp_assets.registry.registry import Registry

    opinions = []
    for place in second_folders(serving.folder):
        try:
            opinions.append(_load(folder, serving, place))
        except (ModelCorrupt, ModelUnsuited):  # an opinion beside the decision: its absence shows in the files
            continue
    loaded = _load(folder, serving, serving.folder, clips)
    threshold = threshold_in_force(Registry(folder.data_root), serving.version, loaded.threshold)
    return replace(loaded, threshold=threshold), opinions


def score_clips(loaded: Loaded, chosen: pd.DataFrame, *, own: bool, params: DecisionParams) -> pd.DataFrame:
    """Clips with ``score``, ``severity``, ``state``, ``decision`` and ``threshold``.

    With ``own`` the model is of the clips' own package: train clips get their calibration score, which
    comes from a model that had not seen them. Of very many, the clips that were not calibrated on get the
    model's. A clip without a finite score has no state.
    """
    threshold, calibration = loaded.threshold["value"], loaded.threshold["calibration"]
    values = _scores(loaded.stored.model, loaded.embedded.values, chosen["position"].to_numpy())
    if own:
        values = _with_calibration(values, chosen, calibration)
    levels = severity(values, np.array([item["score"] for item in calibration]), threshold)
    return chosen.assign(
        score=values,
        severity=np.round(np.nan_to_num(levels), 2),
        state=state(levels, params),
        decision=np.where(values > threshold, "anomaly", "normal"),
        threshold=threshold,
    )


def explain_clips(loaded: Loaded, positions: Any) -> list[Evidence]:
    """The evidence behind the scores of some clips."""
    return [
        evidence
        for rows in _chunks(loaded.embedded.values, positions)
        for evidence in loaded.stored.model.explain(rows)
    ]


def _load(folder: PackageFolder, serving: Serving, place: Path, clips: pd.DataFrame | None = None) -> Loaded:
    stored = load_model(place)
    if clips is not None and len(clips):
        _refuse_other_kind(stored.card.get("signal"), clips, serving.package)
    encoder = stored.card["encoder"]
    try:
        embedded = read_embeddings(folder, Feature(encoder["name"], encoder["view"]))
    except StageMissing as error:
        if serving.package == folder.package:
            raise
        raise ModelUnsuited(f"its model (package {serving.package}) cannot be used: {error}") from error
    if encoder != embedded.encoder:
        raise ModelUnsuited(
            f"its model (package {serving.package}) was fitted on clips or embeddings of other settings than "
            "this package has; run both with the same"
        )
    return Loaded(stored, read_threshold(place), embedded)


def _refuse_other_kind(signal: dict[str, Any] | None, clips: pd.DataFrame, package: str) -> None:
    """``ModelUnsuited`` where clips hold something else than the model knows, or were measured at another rate."""
    known, held = signal["modality"] if signal else SOUND, str(clips["modality"].iloc[0])
    if held != known:
        raise ModelUnsuited(
            f"its model (package {package}) knows {known}, and these recordings hold {held}; give each kind of "
            "recording a section_id of its own"
        )
    rate = float(clips["sample_rate_hz"].iloc[0])
    if signal and not agree(rate, signal["sample_rate_hz"]):
        raise ModelUnsuited(
            f"its model (package {package}) was fitted at {signal['sample_rate_hz']:g} Hz, and these recordings "
            f"were measured at {rate:g} Hz; measure at the same rate, or send normals at this one"
        )


def _scores(model: Model, values: FloatArray, positions: Any) -> Scores:
    found = [model.score(rows) for rows in _chunks(values, positions)]
    return np.concatenate(found) if found else np.zeros(0)


def _chunks(values: FloatArray, positions: Any) -> Iterator[FloatArray]:
    """Rows of an array on disk, no more at a time than memory is meant for."""
    each = max(1, _READ_BYTES // max(values[:1].nbytes, 1))
    for start in range(0, len(positions), each):
        yield np.asarray(values[positions[start : start + each]])


def _with_calibration(values: Scores, chosen: pd.DataFrame, calibration: list[dict[str, Any]]) -> Scores:
    unseen = {item["clip_id"]: item["score"] for item in calibration if item["own"]}
    train = (chosen["split"] == "train").to_numpy()
    names = chosen["clip_id"].to_numpy()
    return np.array(
        [unseen.get(name, value) if fit else value for name, value, fit in zip(names, values, train, strict=True)]
    )
