"""Stage embeddings: every clip through the encoder, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import read_clip
from alp_assets.encoders.base import Encoder
from alp_assets.encoders.catalog import make_encoder
from alp_assets.errors import StageMissing
from alp_assets.files import read_json, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.clips import clip_path, clip_settings, read_clips
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Summary

_BATCH = 16


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a package: ``values`` (n, ...) in the order of ``clip_ids``, memory-mapped.

    ``encoder`` holds all that decides the values: name and settings of the encoder, and of the clips.
    """

    values: FloatArray
    clip_ids: list[str]
    encoder: dict[str, Any]


def embeddings(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Encode the recorded part of every clip, in batches, into ``<encoder>/embeddings.npy``."""
    folder.require("embeddings")
    table = read_clips(folder)
    encoder = make_encoder(params.embeddings)
    with folder.publish("embeddings") as part:
        place = part / encoder.name
        place.mkdir()
        values = np.lib.format.open_memmap(
            place / "embeddings.npy", mode="w+", dtype=np.float32, shape=(len(table), *encoder.shape)
        )
        done = 0
        for batch in ordered_map(lambda rows: _encode(folder, encoder, rows), _batches(table), params.run.threads):
            values[done : done + len(batch)] = batch
            done += len(batch)
            progress(done, len(table), "clips embedded")
        values.flush()
        table[["clip_id"]].to_parquet(place / "clips.parquet", index=False)
        card = {"name": encoder.name, "settings": encoder.settings, "clips": clip_settings(folder)}
        write_json(place / "encoder.json", card)
        return write_summary(
            part,
            Summary(
                "embeddings",
                {"clips": done, "encoder": encoder.name, "dimensions": int(np.prod(encoder.shape))},
            ),
        )


def read_embeddings(folder: PackageFolder, encoder: str) -> Embedded:
    """The embeddings of a package by one encoder; ``StageMissing`` when they are of other clips than are there."""
    place = folder.stage("embeddings") / encoder
    if not place.is_dir():
        raise StageMissing(f"{folder.key}: there are no {encoder} embeddings. Run the stage embeddings.")
    found = Embedded(
        values=np.load(place / "embeddings.npy", mmap_mode="r", allow_pickle=False),
        clip_ids=pd.read_parquet(place / "clips.parquet")["clip_id"].tolist(),
        encoder=read_json(place / "encoder.json"),
    )
    if found.clip_ids != read_clips(folder)["clip_id"].tolist() or found.encoder["clips"] != clip_settings(folder):
        raise StageMissing(f"{folder.key}: the clips were made anew since. Run the stage embeddings again.")
    return found


def embed_file(path: Path, params: Params) -> FloatArray:
    """Embeddings (n, ...) of the clips of one recording that belongs to no package."""
    from alp_assets.audio.decode import open_recording
    from alp_assets.audio.standardize import standard_clips

    encoder = make_encoder(params.embeddings)
    with path.open("rb") as stream, open_recording(stream) as recording:
        cut = standard_clips(recording, params.clips.channel, params.clips.min_seconds)
        pieces = [clip.sound for clip in cut]
    return encoder.encode(pieces) if pieces else np.zeros((0, *encoder.shape), np.float32)


def _batches(table: pd.DataFrame) -> list[pd.DataFrame]:
    return [table.iloc[start : start + _BATCH] for start in range(0, len(table), _BATCH)]


def _encode(folder: PackageFolder, encoder: Encoder, rows: pd.DataFrame) -> FloatArray:
    return encoder.encode(
        [
            read_clip(clip_path(folder, path), valid)
            for path, valid in zip(rows["path"], rows["valid_samples"], strict=True)
        ]
    )
