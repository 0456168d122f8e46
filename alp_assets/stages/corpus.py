"""The normals that a section has gathered: this package's, and those of the customer's earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import Feature
from alp_assets.engines.base import SOURCE, TARGET, Engine, Normals
from alp_assets.errors import AlpError, EngineUnfit, StageMissing
from alp_assets.signals.clock import agree
from alp_assets.stages.clips import read_clips
from alp_assets.stages.embeddings import Embedded, read_embeddings, read_mixed
from alp_assets.stages.feedback import ANOMALY, NORMAL, customer_labels
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import read_receipt
from alp_assets.stages.window_store import stored
from schemas.modalities import SOUND
from schemas.sections import Section

CONDITIONS = ("section_id", "speed_level", "load_level", "noise_id", "mic_position_id")
"""Columns of the contract that tell conditions apart."""

_OTHER_SETTINGS = "its clips or embeddings were made with other settings; run its stages from clips on again"

Rows = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Census:
    """The normals of one section, before any embedding is read.

    What people said of clips counts: a test clip of an earlier package whose alarm was false is a normal, and a
    train clip that is an anomaly after all is none.

    ``table`` has a row for each: ``package``, ``position`` (row of that package's manifest), ``clip_id``,
    ``domain`` (clips of earlier packages are ``source``), ``recording``, ``own`` (of this package),
    ``sample_rate_hz`` and the columns of ``CONDITIONS``, empty text where nothing was said. All are of one
    ``modality``.
    """

    section: Section
    table: pd.DataFrame
    modality: str = SOUND

    @property
    def sample_rate_hz(self) -> float:
        """The rate of the normals, that of the package's own where it has any; NaN without normals."""
        own = self.table.loc[self.table["own"], "sample_rate_hz"]
        return float((own if len(own) else self.table["sample_rate_hz"]).median())

    def count(self, domain: str) -> int:
        """How many normals a domain has."""
        return int((self.table["domain"] == domain).sum())

    @cached_property
    def conditions(self) -> dict[str, np.ndarray[tuple[int], np.dtype[np.str_]]]:
        """The conditions (n,) by column."""
        return {name: self.table[name].to_numpy(str) for name in CONDITIONS}

    def without(self, packages: list[str]) -> Census:
        """The normals that other packages sent."""
        left = self.table[~self.table["package"].isin(packages)].reset_index(drop=True)
        return Census(self.section, left, self.modality)


@dataclass(frozen=True)
class Corpus:
    """Normals of one section as an engine takes them.

    ``clip_ids`` (n,) name the package of those that came earlier; ``own`` (n,) marks the clips of the package
    itself, and ``positions`` (n,) are their rows in its manifest; ``packages`` are all that contributed.
    ``encoder`` is what decides the embeddings.
    """

    normals: Normals
    clip_ids: list[str]
    own: Rows
    positions: np.ndarray[tuple[int], np.dtype[np.int64]]
    packages: list[str]
    encoder: dict[str, object]


class Shelf:
    """The clips and embeddings that a package may learn from: its own, and those of earlier packages."""

    def __init__(self, folder: PackageFolder) -> None:
        self.folder = folder
        self.clips = read_clips(folder)
        self._labels = customer_labels(folder)
        self._earlier = {item.package: (item, read_clips(item)) for item in _earlier_packages(folder)}
        self._open: dict[tuple[str, Feature], Embedded | str] = {}

    def census(self, section: Section) -> Census:
        """The normals of a section. Audio that the package itself holds is not taken from earlier ones again.

        Nor are recordings of another modality than the package has of the section.
        """
        seen = set(self.clips["audio_sha256"])
        modality = self._modality(section)
        parts = [self._own(section)]
        for name, (_, clips) in self._earlier.items():
            fresh = clips[~clips["audio_sha256"].isin(seen) & (clips["modality"] == modality)]
            parts.append(
                _listed(fresh.assign(domain=SOURCE), section, name, self._labels.get(name, {}), own=False)
            )
            seen.update(parts[-1]["recording"])
        return Census(section, pd.concat(parts, ignore_index=True), modality)

    def own(self, feature: Feature) -> Embedded:
        """The package's embeddings."""
        found = self._embedded(self.folder, feature)
        if isinstance(found, str):
            raise StageMissing(found)
        return found

    def left_out(self, census: Census, feature: Feature) -> dict[str, str]:
        """The earlier packages of a census whose embeddings cannot be used, and why."""
        found = {}
        for name in census.table.loc[~census.table["own"], "package"].unique():
            embedded = self._embedded(self._earlier[name][0], feature)
            if isinstance(embedded, str):
                found[name] = embedded
            elif embedded.encoder != self.own(feature).encoder:
                found[name] = _OTHER_SETTINGS
            elif not agree(rate := self._rate(census, name), census.sample_rate_hz):
                found[name] = f"it was measured at {rate:g} Hz, and this package at {census.sample_rate_hz:g} Hz"
        return found

    def _rate(self, census: Census, package: str) -> float:
        return float(census.table.loc[census.table["package"] == package, "sample_rate_hz"].median())

    def _modality(self, section: Section) -> str:
        """What the package's recordings of a section hold; all of one kind, see the stage quality."""
        clips = self.clips
        same = (clips["machine_type"] == section.machine_type) & (clips["section_id"] == section.section_id)
        found = clips.loc[same, "modality"]
        return str(found.iloc[0]) if len(found) else SOUND

    def gather(self, census: Census, engine: Engine, feature: Feature, place: Path | None = None) -> Corpus:
        """The normals of a census for an engine: no more than it makes use of, and the extras that it wants.

        With a ``place`` they are put into a window store there, and are read from it.
        """
        table = census.table.iloc[_rows_within(census.table, engine.max_normals)]
        if place is None:
            normals = self._normals(table, feature, self._extra(census, engine, feature, table))
        else:
            normals = _described(self._stored(table, feature, census.section, place), table)
        ids = table["clip_id"].where(table["own"], table["package"] + "/" + table["clip_id"])
        return Corpus(
            normals,
            [str(name) for name in ids],
            table["own"].to_numpy(bool),
            table["position"].to_numpy(np.int64),
            [str(name) for name in table["package"].unique()],
            self.own(feature).encoder,
        )

    def _normals(self, table: pd.DataFrame, feature: Feature, extra: Normals | None) -> Normals:
        own = self.own(feature).values
        values = np.empty((len(table), *own.shape[1:]), own.dtype)
        for name, rows in table.reset_index(drop=True).groupby("package", sort=False):
            found = self._values(str(name), feature)
            for place, position in zip(rows.index, rows["position"], strict=True):
                values[place] = found[position]
        self._refuse_not_finite(values, table)
        return _described(values, table, extra)

    def _stored(self, table: pd.DataFrame, feature: Feature, section: Section, place: Path) -> FloatArray:
        return stored(
            place,
            section,
            (
                (f"{package}/{clip}", NORMAL, self._values(str(package), feature), int(position))
                for package, clip, position in zip(
                    table["package"], table["clip_id"], table["position"], strict=True
                )
            ),
        )

    def _values(self, package: str, feature: Feature) -> FloatArray:
        """The embeddings of a package of which ``left_out`` says nothing."""
        source = self.folder if package == self.folder.package else self._earlier[package][0]
        embedded = self._embedded(source, feature)
        assert isinstance(embedded, Embedded)
        return embedded.values

    def _refuse_not_finite(self, values: FloatArray, table: pd.DataFrame) -> None:
        bad = [name for name, value in zip(table["clip_id"], values, strict=True) if not np.isfinite(value).all()]
        if bad:
            raise EngineUnfit(
                f"the embeddings of {', '.join(bad[:3])}{' and others' * (len(bad) > 3)} are not finite. Run the "
                "stages from clips on again; leave the recording out if it stays so."
            )

    def _extra(self, census: Census, engine: Engine, feature: Feature, table: pd.DataFrame) -> Normals | None:
        if engine.extras == "other_sections":
            return self._other_sections(census.section, feature, engine.max_normals)
        if engine.extras == "noise_mixed":
            return self._noise_mixed(table, feature)
        return None

    def _other_sections(self, section: Section, feature: Feature, most: int) -> Normals | None:
        """Normals of the package's other sections of the machine type."""
        rows = self.clips[self.clips["machine_type"] == section.machine_type]
        ids = sorted(set(rows["section_id"]) - {section.section_id})
        others = [replace(section, section_id=name) for name in ids]
        if not others:
            return None
        parts = [self._own(other) for other in others]
        table = pd.concat(parts, ignore_index=True)
        return self._normals(table.iloc[_rows_within(table, most)], feature, None) if len(table) else None

    def _own(self, section: Section) -> pd.DataFrame:
        name = self.folder.package
        return _listed(self.clips, section, name, self._labels.get(name, {}), own=True)

    def _noise_mixed(self, table: pd.DataFrame, feature: Feature) -> Normals | None:
        """The copies of the package's own normals with noise in them."""
        mixed = read_mixed(self.folder, feature)
        if mixed is None:
            return None
        own = table[table["own"]].set_index("clip_id")
        rows = np.array([row for row, name in enumerate(mixed.clip_ids) if name in own.index], np.intp)
        of = own.loc[[mixed.clip_ids[row] for row in rows]]
        return Normals(mixed.values[rows], of["domain"].to_numpy(str), of["recording"].to_numpy(str))

    def _embedded(self, source: PackageFolder, feature: Feature) -> Embedded | str:
        key = (source.package, feature)
        if key not in self._open:
            try:
                self._open[key] = read_embeddings(source, feature)
            except StageMissing as error:
                self._open[key] = str(error)
        return self._open[key]


def _described(values: FloatArray, table: pd.DataFrame, extra: Normals | None = None) -> Normals:
    """Embeddings (n, ...) as normals, with what the table says of them."""
    conditions = {name: table[name].to_numpy(str) for name in CONDITIONS}
    return Normals(values, table["domain"].to_numpy(str), table["recording"].to_numpy(str), conditions, extra)


def _earlier_packages(folder: PackageFolder) -> list[PackageFolder]:
    """The customer's packages received before this one that passed their gates, oldest first."""
    received = str(read_receipt(folder)["received_at"])
    found = []
    for other in PackageFolder.of_customer(folder.data_root, folder.customer):
        if other == folder:
            continue
        if other.summary("upload") is None or str(read_receipt(other)["received_at"]) >= received:
            continue
        try:
            other.passed("models")
        except AlpError:
            continue
        other.prove("embeddings")
        found.append(other)
    return sorted(found, key=lambda other: str(read_receipt(other)["received_at"]))


def _listed(
    clips: pd.DataFrame, section: Section, package: str, labels: dict[str, str], *, own: bool
) -> pd.DataFrame:
    """The normals of a section among clips whose index is their place in the manifest.

    Test clips of the package itself are none, whatever was said of them: it is scored on them.
    """
    said = clips["clip_id"].map(labels)
    normal = (clips["split"] == "train") & (clips["label"] == "normal") & (said != ANOMALY)
    if not own:
        normal |= (clips["split"] == "test") & (said == NORMAL)
    rows = clips[
        (clips["machine_type"] == section.machine_type) & (clips["section_id"] == section.section_id) & normal
    ]
    found = rows[["clip_id", "domain", "sample_rate_hz"]].assign(
        package=package, position=rows.index, recording=rows["audio_sha256"], own=own
    )
    for name in CONDITIONS:
        found[name] = rows[name].fillna("").astype(str)
    return found


def _rows_within(table: pd.DataFrame, most: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """At most so many rows, in their order: the target's first of all, then the source's evenly spread."""
    if len(table) <= most:
        return np.arange(len(table))
    target = np.flatnonzero((table["domain"] == TARGET).to_numpy())
    source = np.flatnonzero((table["domain"] != TARGET).to_numpy())
    target = target[_spread(len(target), min(len(target), most))]
    source = source[_spread(len(source), most - len(target))]
    return np.sort(np.concatenate([target, source]))


def _spread(count: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.linspace(0, count - 1, most).round().astype(np.intp) if most else np.zeros(0, np.intp)
