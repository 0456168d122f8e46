"""Stage embeddings: every clip through the encoders that are needed, once.

An array has a row for each clip of the manifest, whatever its encoder: a row of the manifest is then a row of
every array, for whoever reads it. Rows of clips that the encoder does not take, sound or signals, stay empty, and
where the file system knows holes they take no space.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import read_clip
from alp_assets.encoders.base import SERIES, Encoder, Feature, Sound, View
from alp_assets.encoders.catalog import make_encoder, resolve_encoder
from alp_assets.encoders.series import SeriesEncoder
from alp_assets.engines.base import TARGET
from alp_assets.engines.selection import features_needed
from alp_assets.engines.store import features_of_folder
from alp_assets.errors import ParameterError, StageMissing, WeightsMissing
from alp_assets.files import read_json, sha256_of, write_json
from alp_assets.params import Params, SelectionParams
from alp_assets.progress import Progress, silent
from alp_assets.stages.clips import CLIPS_FILE as MANIFEST_FILE
from alp_assets.stages.clips import clip_settings, fetched_clip, holds_signals, read_clips
from alp_assets.stages.clips_signals import read_signal_clip
from alp_assets.stages.mixed import mixed_sound, mixtures
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.shards import Arrays
from alp_assets.stages.summary import Summary
from alp_assets.stages.unfinished import give, unfinished
from alp_assets.version import code_version
from schemas.sections import Section

ENCODER_FILE = "encoder.json"
CLIPS_FILE = "clips.parquet"
MIXED = "mixed-"
MIXED_FILE = "mixed.parquet"


@dataclass(frozen=True)
class Embedded:
    """One view of a package's clips: ``values`` (n, ...) in the order of ``clip_ids``, memory-mapped.

    ``encoder`` holds all that decides the values: name, view and settings of the encoder, and of the clips.
    """

    values: FloatArray
    clip_ids: list[str]
    encoder: dict[str, Any]


def embeddings(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Encode the recorded part of every clip, in batches, into ``<encoder>/<view>.npy``.

    Where engine A may be used and there are noise-only recordings, the normals that may support it are
    encoded once more with that noise mixed in.
    """
    folder.require("embeddings")
    folder.stage("clips")  # every clip is read, by other processes too
    table = read_clips(folder)
    records = table.to_dict("records")
    signals = holds_signals(table).to_numpy()
    views_of = _views_by_encoder(_features(folder, params))
    mixed = mixtures(table[~signals], params.models.patch_memory) if _any_patches(views_of) else []
    by_id = {str(record["clip_id"]): record for record in records}
    copies = {row: partial(mixed_sound, folder, by_id, mixture) for row, mixture in enumerate(mixed)}
    rows_of = {name: np.flatnonzero(signals == (name == SERIES)) for name in views_of}
    clips = sum(len(rows) for rows in rows_of.values())
    count = _Counter(clips + sum(len(copies) * ("patches" in views) for views in views_of.values()), progress)
    encoders = {name: _encoder(name, params, folder.data_root) for name in views_of}
    cards = {
        name: {
            "name": name,
            "settings": encoder.settings,
            "clips": clip_settings(folder, signals=name == SERIES),
        }
        for name, encoder in encoders.items()
    }
    made_of = {
        "version": code_version(),
        "manifest": sha256_of(folder.file("clips", MANIFEST_FILE)),
        "views": views_of,
        "cards": cards,
        "mixed": [asdict(mixture) for mixture in mixed],
        "shard_clips": params.run.shard_clips,
    }
    rows = []
    with (
        folder.lock(),
        unfinished(folder, "embeddings", made_of) as work,
        folder.publish_locked("embeddings") as part,
    ):
        (done := work / "done").mkdir(exist_ok=True)
        for name, views in views_of.items():
            encoder = encoders[name]
            _refuse_missing_views(encoder, views)
            (place := work / encoder_folder(name)).mkdir(exist_ok=True)
            (finished := part / encoder_folder(name)).mkdir()
            again = partial(_encoder, name, params, folder.data_root)
            load = _series if name == SERIES else _sound
            items = {int(row): partial(load, folder, records[row]) for row in rows_of[name]}
            Arrays(place, done, encoder, again, views, len(table)).fill(items, params.run, count.add)
            table[["clip_id"]].to_parquet(finished / CLIPS_FILE, index=False)
            if copies and "patches" in views:
                mixtures_of = Arrays(place, done, encoder, again, ["patches"], len(copies), MIXED)
                mixtures_of.fill(copies, params.run, count.add)
                pd.DataFrame([asdict(mixture) for mixture in mixed]).to_parquet(finished / MIXED_FILE, index=False)
            for path in place.glob("*.npy"):
                give(path, finished)
            write_json(finished / ENCODER_FILE, cards[name])
            rows += [
                {"encoder": name, "view": view, "shape": " x ".join(map(str, encoder.views[view]))}
                for view in views
            ]
        figures: dict[str, int | float | str] = {
            "clips": len(table),
            "encoder": ", ".join(views_of),
            "noise_mixed": len(mixed),
            "bytes": sum(path.stat().st_size for path in part.rglob("*.npy")),
        }
        return write_summary(part, Summary("embeddings", figures, (), {"embeddings": pd.DataFrame(rows)}))


def encoder_folder(name: str) -> str:
    """The folder of an encoder's embeddings; names that had to be changed get a fingerprint."""
    plain = re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def read_embeddings(folder: PackageFolder, feature: Feature) -> Embedded:
    """One view of a package's clips; ``StageMissing`` when it is not there or of other clips than are there."""
    found = _read(folder, feature, CLIPS_FILE, feature.view)
    how = clip_settings(folder, signals=feature.encoder == SERIES)
    if found.clip_ids != read_clips(folder)["clip_id"].tolist() or found.encoder["clips"] != how:
        raise StageMissing(f"{folder.key}: the clips were made anew since. Run the stage embeddings again.")
    return found


def read_mixed(folder: PackageFolder, feature: Feature) -> Embedded | None:
    """The noise-mixed copies of normals, ``clip_ids`` being those of the normals, or none."""
    if not (folder.stage("embeddings") / encoder_folder(feature.encoder) / MIXED_FILE).is_file():
        return None
    return _read(folder, feature, MIXED_FILE, MIXED + feature.view)


def _read(folder: PackageFolder, feature: Feature, ids: str, values: str) -> Embedded:
    place = folder.stage("embeddings") / encoder_folder(feature.encoder)
    if not (place / f"{values}.npy").is_file():
        raise StageMissing(
            f"{folder.key}: there are no {feature.encoder} embeddings ({feature.view}). Run the stage embeddings."
        )
    try:
        array = np.load(place / f"{values}.npy", mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise StageMissing(
            f"{place / f'{values}.npy'}: damaged ({error}). Run the stage embeddings of {folder.key} again."
        ) from error
    return Embedded(
        values=array,
        clip_ids=pd.read_parquet(place / ids, columns=["clip_id"])["clip_id"].tolist(),
        encoder={**read_json(place / ENCODER_FILE), "view": feature.view},
    )


def _refuse_missing_views(encoder: Encoder | SeriesEncoder, views: Sequence[View]) -> None:
    missing = [view for view in views if view not in encoder.views]
    if missing:
        raise ParameterError(
            f"embeddings.encoder: {encoder.name} has no {' or '.join(missing)}, which an engine "
            f"needs; it has {', '.join(encoder.views)}. Choose another encoder or engine, or "
            "layers that the model has."
        )


class _Counter:
    """Progress over several arrays."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def add(self, more: int) -> None:
        self.done += more
        self.progress(self.done, self.total, "clips embedded")


def _sound(folder: PackageFolder, record: Mapping[Hashable, Any]) -> Sound:
    samples = read_clip(fetched_clip(folder, record["path"]), record["valid_samples"])
    return Sound(samples, record["db_8_10k"], record["db_above_10k"])


def _series(folder: PackageFolder, record: Mapping[Hashable, Any]) -> tuple[FloatArray, str]:
    return read_signal_clip(fetched_clip(folder, record["path"])), str(record["modality"])


def _encoder(name: str, params: Params, data_root: Path) -> Encoder | SeriesEncoder:
    if name == SERIES:
        return SeriesEncoder(params.signals)
    return make_encoder(name, params.embeddings, data_root)


def _features(folder: PackageFolder, params: Params) -> list[Feature]:
    """What this package's engines may need, and what champions need that may score in their stead."""
    clips = read_clips(folder)
    signals = holds_signals(clips)
    own = [Feature(SERIES, "frames")] if signals.any() else []
    if not signals.all():
        encoder = resolve_encoder(params.embeddings, folder.data_root)
        some_few = _some_few(clips[~signals], params.models.selection)
        own += features_needed(params.models, folder.customer, folder.package, encoder, some_few=some_few)
        own += [found for found in _champions_features(folder, params) if _at_hand(found, folder, params)]
    return list(dict.fromkeys(own))


def _some_few(clips: pd.DataFrame, rules: SelectionParams) -> bool:
    """Whether a section with normals has few of them; those of earlier packages can only add source normals."""
    normals = clips[(clips["split"] == "train") & (clips["label"] == "normal")]
    for _, rows in normals.groupby(["machine_type", "section_id"]):
        target = int((rows["domain"] == TARGET).sum())
        if target < rules.few_target and len(rows) - target < rules.much_source:
            return True
    return False


def _champions_features(folder: PackageFolder, params: Params) -> list[Feature]:
    from alp_assets.registry.registry import Registry

    registry, found = Registry(folder.data_root), []
    for (machine_type, section_id), rows in read_clips(folder).groupby(["machine_type", "section_id"]):
        champion = registry.champion(Section(folder.customer, str(machine_type), str(section_id)))
        few = int((rows["split"] == "train").sum()) < params.models.selection.few_target
        if champion is not None and few and champion.package != folder.package:
            found += features_of_folder(champion.folder)
    return found


def _at_hand(feature: Feature, folder: PackageFolder, params: Params) -> bool:
    """Whether an encoder of sound can be made: a champion without weights costs its section, not the package."""
    if feature.encoder == SERIES:
        return False
    try:
        return feature.view in make_encoder(feature.encoder, params.embeddings, folder.data_root).views
    except WeightsMissing:
        return False


def _views_by_encoder(features: Sequence[Feature]) -> dict[str, list[View]]:
    found: dict[str, list[View]] = {}
    for feature in features:
        found.setdefault(feature.encoder, []).append(feature.view)
    return found


def _any_patches(views_of: Mapping[str, Sequence[View]]) -> bool:
    return any("patches" in views for views in views_of.values())
