"""The normals that a section has gathered: this package's, and those of the customer's earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alp_assets.engines.base import SOURCE, Normals
from alp_assets.errors import AlpError, StageMissing
from alp_assets.stages.clips import read_clips
from alp_assets.stages.embeddings import Embedded, read_embeddings
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt
from schemas.sections import Section


@dataclass(frozen=True)
class Corpus:
    """Normals of one section. Clips of earlier packages are ``source``; ``clip_ids`` name their package.

    ``own`` (n,) marks the clips of the package itself; ``packages`` are all that contributed;
    ``left_out`` says which earlier packages could not, and why.
    """

    normals: Normals
    clip_ids: list[str]
    own: np.ndarray[tuple[int], np.dtype[np.bool_]]
    packages: list[str]
    left_out: list[str]


@dataclass(frozen=True)
class Contribution:
    """An earlier package's clips and embeddings, or the reason why they cannot be used."""

    folder: PackageFolder
    clips: pd.DataFrame
    embedded: Embedded | None
    problem: str = ""


def earlier_packages(folder: PackageFolder, encoder: dict[str, object]) -> list[Contribution]:
    """The customer's packages received before this one that passed their gates, oldest first."""
    received = read_receipt(folder)["received_at"]
    found = []
    for path in sorted(folder.path.parent.iterdir()):
        if not path.is_dir() or path.name == folder.package or path.name.startswith("."):
            continue
        other = PackageFolder(folder.data_root, folder.customer, path.name)
        if other.summary("upload") is None or str(read_receipt(other)["received_at"]) >= str(received):
            continue
        try:
            other.require("models")
        except AlpError:
            continue
        found.append(_contribution(other, encoder))
    return sorted(found, key=lambda item: str(read_receipt(item.folder)["received_at"]))


def gather(
    folder: PackageFolder,
    section: Section,
    clips: pd.DataFrame,
    embedded: Embedded,
    earlier: list[Contribution],
) -> Corpus:
    """The normals of one section. Audio that the package itself holds is not taken from earlier ones again."""
    own = _normals_of(clips, section)
    values, ids = [embedded.values[own]], [clips["clip_id"].to_numpy()[own]]
    domains = [clips["domain"].to_numpy(str)[own]]
    recordings = [clips["audio_sha256"].to_numpy(str)[own]]
    packages, left_out = [folder.package] if own.any() else [], []
    seen = set(clips["audio_sha256"])
    for item in earlier:
        rows = _normals_of(item.clips, section) & ~item.clips["audio_sha256"].isin(seen).to_numpy()
        if not rows.any():
            continue
        if item.embedded is None:
            left_out.append(f"{item.folder.package}: {item.problem}")
            continue
        seen.update(item.clips["audio_sha256"].to_numpy()[rows])
        values.append(item.embedded.values[rows])
        ids.append(np.array([f"{item.folder.package}/{name}" for name in item.clips["clip_id"][rows]]))
        domains.append(np.full(int(rows.sum()), SOURCE))
        recordings.append(item.clips["audio_sha256"].to_numpy(str)[rows])
        packages.append(item.folder.package)
    count = int(own.sum())
    total = sum(map(len, values))
    return Corpus(
        normals=Normals(np.concatenate(values), np.concatenate(domains), np.concatenate(recordings)),
        clip_ids=[str(name) for part in ids for name in part],
        own=np.arange(total) < count,
        packages=packages,
        left_out=left_out,
    )


def _contribution(other: PackageFolder, encoder: dict[str, object]) -> Contribution:
    clips = read_clips(other)
    try:
        embedded = read_embeddings(other, str(encoder["name"]))
    except StageMissing as error:
        return Contribution(other, clips, None, str(error))
    if embedded.encoder != encoder:
        problem = "its clips or embeddings were made with other settings; run its stages from clips on again"
        return Contribution(other, clips, None, problem)
    return Contribution(other, clips, embedded)


def _normals_of(clips: pd.DataFrame, section: Section) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    rows = (
        (clips["machine_type"] == section.machine_type)
        & (clips["section_id"] == section.section_id)
        & (clips["split"] == "train")
        & (clips["label"] == "normal")
    )
    return rows.to_numpy(bool)
