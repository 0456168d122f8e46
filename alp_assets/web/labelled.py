"""Scores of clips that somebody has labelled, by the model version that gave them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.registry.records import Version
from alp_assets.registry.registry import Registry
from alp_assets.stages.package import PackageFolder

_REMEMBERED = 64


@dataclass(frozen=True)
class Labelled:
    """Scores of test clips by label: what the table says, and over that what people said since."""

    normal: tuple[float, ...]
    anomaly: tuple[float, ...]


class LabelledScores:
    """Reads the packages' scores; what has not changed on disk since is remembered, as sliders ask often."""

    def __init__(self, data_root: Path, registry: Registry) -> None:
        self._root, self._registry = data_root, registry
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, tuple[tuple[str, str, float], ...]]] = {}

    def of(self, version: Version) -> Labelled:
        """The labelled clips of every package of the customer that were scored with a version."""
        section = version.section
        found: dict[str, list[float]] = {"normal": [], "anomaly": []}
        said = {(item.package, item.clip_id): str(item.label) for item in self._registry.labels(section.customer)}
        for folder in PackageFolder.of_customer(self._root, section.customer):
            package, path = folder.package, folder.file("scores", "metrics.json")
            for clip_id, label, score in self._rows(version, package, path):
                word = said.get((package, clip_id), label)
                if word in found:
                    found[word].append(score)
        return Labelled(tuple(sorted(found["normal"])), tuple(sorted(found["anomaly"])))

    def _rows(self, version: Version, package: str, path: Path) -> tuple[tuple[str, str, float], ...]:
        key = (version.version, package)
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        rows = _read(PackageFolder(self._root, version.section.customer, package), version)
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = (stamp, rows)
        return rows


def _read(folder: PackageFolder, version: Version) -> tuple[tuple[str, str, float], ...]:
    """Clip, label and score of a package's test clips, where the version scored them."""
    import numpy as np

    from alp_assets.stages.scores import read_metrics, read_scores

    section = version.section
    try:
        entries = read_metrics(folder)["sections"]
        if not any(
            entry.get("section") == str(section) and entry.get("model_version") == version.version
            for entry in entries
        ):
            return ()
        table = read_scores(folder)
    except (OSError, KeyError, ValueError, AlpError):  # between two runs there is nothing to read
        return ()
    chosen = table[
        (table["machine_type"] == section.machine_type)
        & (table["section_id"] == section.section_id)
        & (table["split"] == "test")
        & np.isfinite(table["score"])
    ]
    return tuple(
        (str(clip_id), str(label), float(score))
        for clip_id, label, score in zip(chosen["clip_id"], chosen["label"], chosen["score"], strict=True)
    )
