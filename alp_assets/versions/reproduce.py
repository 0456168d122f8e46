"""Making a version's scores again from its upload, to see that they are what they were."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alp_assets.encoders.catalog import resolve_encoder
from alp_assets.errors import VersionRefused
from alp_assets.params import Params, with_overrides
from alp_assets.progress import Progress
from alp_assets.registry.records import Label
from alp_assets.registry.registry import Registry, content_hash
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.scores import METRICS_FILE, SCORES_FILE
from alp_assets.stages.summary import Summary
from alp_assets.version import code_version
from alp_assets.versions.contents import contents_of
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import Repository, repository_of
from alp_assets.versions.revisions import (
    Revision,
    end_of_commit,
    find_revision,
    first_commit,
    moment,
    outs_at,
    recorded_model,
)
from alp_assets.versions.sameness import SectionResult, compare_scores
from alp_assets.versions.store import Store, opened
from schemas.sections import Section

_SCORES = f"scores/{SCORES_FILE}"
_SCRATCH = "reproduce-"
_REGISTRY_URL = "ALP_REGISTRY_URL"
_ENCODERS = ("ast", "alp_conv")
"""What the encoder ``auto`` may have been."""


@dataclass(frozen=True)
class Reproduction:
    """Whether ``scores.csv`` is the same byte for byte, and how each section compares.

    ``made_by`` and ``code`` are the ALP of then and of now; ``notes`` say what could not be as it was.
    """

    version: str
    at: str
    identical: bool
    sections: list[SectionResult]
    made_by: str
    code: str
    notes: list[str]


def reproduce(
    folder: PackageFolder,
    revision: str,
    params: Params,
    told: Callable[[Summary], None],
    progress: Callable[[str], Progress],
) -> Reproduction:
    """Run the stages from the upload to the scores in a scratch folder, with the data and parameters of a version.

    Earlier packages that its models learnt from, models that it was scored with though they were fitted elsewhere,
    thresholds that somebody had set, and labels that people had given are brought back with it.

    Raises:
        VersionRefused: the version was not scored, cannot be had, or had parameters that this ALP does not know.
    """
    repository = repository_of(folder.data_root)
    with _scratch(Queue(folder.data_root).place) as scratch:
        with opened(repository) as store:
            wanted = first_commit(repository, find_revision(repository, folder, revision))
            past = _Past(store, repository, wanted)
            again = past.lay_out(scratch)
        chosen = past.params(params, again.data_root)
        with _own_registry():
            past.bring_labels(again)
            past.bring_models(again)
            for name in STAGES[: STAGES.index("scores") + 1]:
                if name == "scores":
                    past.bring_thresholds(again)
                summary = run_stage(name, again, chosen, progress(name))
                told(summary)
                if not summary.passed:
                    raise VersionRefused(f"{again.key}: fails the gate of {name}, which this version had passed.")
        made = (again.stage("scores") / SCORES_FILE).read_bytes()
    return Reproduction(
        version=wanted.name,
        at=wanted.commit.at if wanted.commit else "",
        identical=made == past.scores,
        sections=compare_scores(past.scores, made),
        made_by=past.made_by,
        code=code_version(),
        notes=past.notes,
    )


class _Past:
    """A version with all that its scores came from, as it was at the commit that first had the version."""

    def __init__(self, store: Store, repository: Repository, wanted: Revision) -> None:
        self.store, self.repository, self.wanted = store, repository, wanted
        self.files = store.files(wanted.outs)
        name = f"{wanted.folder.customer}/{wanted.folder.package}@{wanted.name}"
        for needed in (_SCORES, "upload/package.zip"):
            if needed not in self.files:
                raise VersionRefused(f"{name}: this version holds no {needed}, so it cannot be reproduced.")
        self.scores = store.read(self.files[_SCORES])
        self.metrics = self._json(f"scores/{METRICS_FILE}")
        self.cards = {
            Path(path).parent.name: self._json(path)
            for path in self.files
            if path.startswith("models/") and path.count("/") == 2 and path.endswith("/model.json")
        }
        self.fitted = {name: self._json(f"models/{name}/threshold.json")["value"] for name in self.cards}
        figures = self._json("embeddings/summary.json").get("figures", {})
        self.encoders = str(figures.get("encoder", "")).split(", ")
        self.models = self._models_of_others()
        self.scored = contents_of(store, wanted).scores["label"].to_dict()
        self.labels = Registry(repository.data_root).label_history(wanted.folder.customer)
        self.notes: list[str] = []

    @property
    def made_by(self) -> str:
        """The ALP that fitted the version's models."""
        return ", ".join(sorted({str(card.get("code_version", "")) for card in self.cards.values()}))

    def lay_out(self, scratch: Path) -> PackageFolder:
        """A data root with the upload of the version, and the earlier packages that its models learnt from."""
        again = PackageFolder(scratch, self.wanted.folder.customer, self.wanted.folder.package)
        self._link(self.files, again, "upload/")
        for name in sorted({name for card in self.cards.values() for name in card.get("packages", ())}):
            if name == again.package:
                continue
            earlier = PackageFolder(self.repository.data_root, again.customer, name)
            outs = outs_at(self.repository, earlier, self.wanted.commit.commit if self.wanted.commit else None)
            if outs:
                self._link(self.store.files(outs), PackageFolder(scratch, again.customer, name), "")
            else:
                self.notes.append(f"Package {name}, from which it learnt, was not versioned then and is left out.")
        for (section, version), hashed in self.models.items():
            for path, value in self.store.files({"": hashed}).items():
                self.store.link(value, _model_place(scratch, section, version) / path)
        weights = self.repository.data_root / "weights"
        if weights.is_dir():
            (scratch / "weights").symlink_to(weights)
        return again

    def params(self, now: Params, scratch: Path) -> Params:
        """The parameters of the version; what says how to work, not what comes of it, is as now."""
        tree = {**now.model_dump(), **self.metrics["parameters"]}
        try:
            found = Params.model_validate(tree)
        except ValidationError as error:
            names = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
            raise VersionRefused(
                f"{self.wanted.name}: this version, made by ALP {self.made_by}, had parameters that ALP "
                f"{code_version()} does not take: {names}. Reproduce it with the ALP of then."
            ) from error
        found = with_overrides(found, {"quality.data_docs": False})
        then = next((name for name in _ENCODERS if name in self.encoders), "")
        if found.embeddings.encoder == "auto" and then and resolve_encoder(found.embeddings, scratch) != then:
            found = with_overrides(found, {"embeddings.encoder": then})
        return found

    def bring_labels(self, again: PackageFolder) -> None:
        """The last of the labels that people had given to each of the customer's clips by then."""
        registry = Registry(again.data_root)
        said = {(item.package, item.clip_id): item for item in self.labels if self._counted(item)}
        for item in said.values():
            registry.label(item.customer, item.package, item.clip_id, item.label, item.note, item.who)

    def bring_models(self, again: PackageFolder) -> None:
        """The models of other packages that sections were scored with."""
        registry = Registry(again.data_root)
        for entry in self._entries():
            section = Section.parse(entry["section"])
            place = _model_place(again.data_root, section, entry["model_version"])
            if place.is_dir():
                registry.register(section, entry["model_package"], "", place)

    def bring_thresholds(self, again: PackageFolder) -> None:
        """The thresholds that somebody had set in the place of fitted ones."""
        registry = Registry(again.data_root)
        for entry in self._entries():
            section = Section.parse(entry["section"])
            own = again.stage("models") / section.folder
            fitted = self.fitted.get(section.folder)
            version = content_hash(own) if fitted is not None and own.is_dir() else entry["model_version"]
            known = {item.version: item for item in registry.versions(section)}.get(version)
            before = fitted if fitted is not None else (known.threshold if known else None)
            if known and before != entry["threshold"]:
                registry.save_threshold(version, entry["threshold"], "as it was set then", "alp")

    def _counted(self, item: Label) -> bool:
        """Whether a label had been given by then. Of the package's own clips the scores tell which they had."""
        if self.wanted.commit and moment(item.at) >= end_of_commit(self.wanted.commit):
            return False
        own = item.package == self.wanted.folder.package
        return not own or self.scored.get(item.clip_id, item.label) == item.label

    def _entries(self) -> list[dict[str, Any]]:
        return [entry for entry in self.metrics["sections"] if entry["state"] == "scored"]

    def _models_of_others(self) -> dict[tuple[Section, str], str]:
        """The hash of every model that was fitted elsewhere, by section and version."""
        found = {}
        for entry in self._entries():
            section = Section.parse(entry["section"])
            if section.folder in self.cards:
                continue
            place = Path("models", section.customer, section.folder, entry["model_version"])
            found[section, entry["model_version"]] = recorded_model(self.repository, place)
        return found

    def _link(self, files: Mapping[str, str], folder: PackageFolder, below: str) -> None:
        chosen = {path: value for path, value in files.items() if path.startswith(below)}
        self.store.fetch(chosen.values())
        for path, value in chosen.items():
            self.store.link(value, folder.path / path)

    def _json(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.store.read(self.files[path])) if path in self.files else {}
        return found


def _model_place(data_root: Path, section: Section, version: str) -> Path:
    return data_root / "models" / section.customer / section.folder / version


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """A folder that goes with the block. What killed processes left goes too, unless another one is at work."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "reproducing").open("a+") as handle:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for leftover in place.glob(f"{_SCRATCH}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        fcntl.flock(handle, fcntl.LOCK_SH)  # held together with the others, and over when the process is
        with tempfile.TemporaryDirectory(dir=place, prefix=_SCRATCH) as scratch:
            yield Path(scratch)


@contextmanager
def _own_registry() -> Iterator[None]:
    """Keep what is registered in the scratch folder, also where a database holds the registry."""
    chosen = os.environ.pop(_REGISTRY_URL, None)
    try:
        yield
    finally:
        if chosen is not None:
            os.environ[_REGISTRY_URL] = chosen
