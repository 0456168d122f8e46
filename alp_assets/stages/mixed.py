"""Normals with the customer's noise-only recordings mixed in: engine A's memory then knows the noise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from alp_assets.audio.mixing import mix_at_snr
from alp_assets.audio.standardize import read_clip
from alp_assets.encoders.base import Sound
from alp_assets.engines.patch_memory import support_rows
from alp_assets.params import PatchMemoryParams
from alp_assets.stages.clips import fetched_clip
from alp_assets.stages.package import PackageFolder


@dataclass(frozen=True)
class Mixture:
    """A normal clip with a noise clip in it, at a signal-to-noise ratio in dB."""

    clip_id: str
    noise_clip_id: str
    snr_db: float


def mixtures(table: pd.DataFrame, params: PatchMemoryParams) -> list[Mixture]:
    """The mixtures of every section with noise-only clips: the normals that will support engine A at every ratio.

    The noise clips take turns.
    """
    found = []
    for _, rows in table.groupby(["machine_type", "section_id"], sort=True):
        noise = rows.loc[(rows["split"] == "supplemental") & (rows["supp_type"] == "noise"), "clip_id"].tolist()
        normals = rows[(rows["split"] == "train") & (rows["label"] == "normal")]
        if not noise or normals.empty:
            continue
        support = support_rows(
            normals["domain"].to_numpy(str), normals["audio_sha256"].to_numpy(str), params.support
        )
        pairs = product(normals["clip_id"].iloc[support], params.noise_snr_db)
        found += [Mixture(clip, noise[i % len(noise)], snr) for i, (clip, snr) in enumerate(pairs)]
    return found


def mixed_sound(folder: PackageFolder, clips: Mapping[str, Mapping[Hashable, Any]], mixture: Mixture) -> Sound:
    """The sound of a mixture; ``clips`` holds the rows of the manifest by ``clip_id``."""
    rows = (clips[mixture.clip_id], clips[mixture.noise_clip_id])
    normal, noise = (read_clip(fetched_clip(folder, row["path"]), row["valid_samples"]) for row in rows)
    return Sound(mix_at_snr(normal, noise, mixture.snr_db))
