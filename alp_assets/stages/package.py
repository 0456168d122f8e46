"""The package folder: where each stage keeps its results, and who may write there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.errors import GateFailed, NameRefused, StageDamaged, StageMissing
from alp_assets.files import read_json, replaced_folder, write_json
from alp_assets.stages.disk import disk_told
from alp_assets.stages.summary import Summary
from alp_assets.store.base import Store, store_of
from alp_assets.store.manifest import MANIFEST_FILE, FolderDamaged, find_damage, read_manifest, write_manifest
from schemas.sections import SLUG

STAGES = ("upload", "metadata", "quality", "clips", "embeddings", "models", "scores", "report")
SUMMARY_FILE = "summary.json"
REJECTED = "rejected"
_PROOF = "proof"
_PROBLEMS_TOLD = 3
_LONGEST_NAME = 100


@dataclass(frozen=True)
class PackageFolder:
    """One package of one customer in a data root. Names are slugs, so the path cannot lead elsewhere."""

    data_root: Path
    customer: str
    package: str

    def __post_init__(self) -> None:
        for kind, name in (("customer", self.customer), ("package", self.package)):
            if not SLUG.fullmatch(name) or len(name) > _LONGEST_NAME:
                raise NameRefused(
                    f"{name!r} cannot be the name of a {kind}: use small letters, digits and hyphens, "
                    f"with a letter or digit first and at most {_LONGEST_NAME} of them, for example pump-2026-10."
                )

    @classmethod
    def from_key(cls, data_root: Path, key: str) -> PackageFolder:
        """The folder of a partition key ``<customer>__<package>``."""
        customer, separator, package = key.partition("__")
        if not separator:
            raise NameRefused(f"{key!r} is not a package key; write <customer>__<package>.")
        return cls(data_root, customer, package)

    @classmethod
    def of_customer(cls, data_root: Path, customer: str) -> list[PackageFolder]:
        """Every package of a customer that a stage has worked on, by name."""
        names = store_of(data_root).below(f"packages/{customer}")
        return [cls(data_root, customer, name) for name in names if SLUG.fullmatch(name)]

    @property
    def key(self) -> str:
        """The Dagster partition of the package."""
        return f"{self.customer}__{self.package}"

    @property
    def path(self) -> Path:
        """Where the stages of the package lie. Of a bucket not all need be there; ``stage`` fetches one."""
        return self.data_root / self._place

    @property
    def inbox(self) -> Path:
        """Where the package's zip arrives; ``fetch_inbox`` has it there."""
        return self.data_root / self._inbox

    def arrived(self) -> bool:
        """Whether the package's zip is in the inbox."""
        if not self._store.mirrors:
            return self.inbox.is_file()
        folder, _, name = self._inbox.rpartition("/")
        return any(item.name == name for item in self._store.arrived(folder))

    def put_inbox(self) -> None:
        """Let others see the zip that was put there; ``FileExistsError`` when another one is there."""
        self._store.put_file(self._inbox, only_new=True)

    def fetch_inbox(self) -> Path:
        """The package's zip in the inbox, if one arrived."""
        self._store.fetch_file(self._inbox)
        return self.inbox

    def stage(self, name: str) -> Path:
        """The folder of a stage, whether it exists or not.

        Raises:
            StageDamaged: it had to be fetched and is not whole.
        """
        with self._told(name):
            self._store.fetch(f"{self._place}/{name}")
        return self.path / name

    def file(self, stage: str, name: str) -> Path:
        """One file of a stage's folder, which need not be fetched as a whole for it."""
        with self._told(stage):
            self._store.fetch(f"{self._place}/{stage}", name)
        return self.path / stage / name

    def has(self, stage: str) -> bool:
        """Whether a stage has a folder."""
        return self._store.has(f"{self._place}/{stage}")

    def exists(self) -> bool:
        """Whether any stage has."""
        return self.path.is_dir() or bool(self._store.below(self._place))

    def summary(self, name: str) -> dict[str, Any] | None:
        """What a stage said of itself, or ``None`` when it has not run."""
        path = self.file(name, SUMMARY_FILE)
        try:
            found: dict[str, Any] = read_json(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StageDamaged(f"{path}: damaged ({error}). {self._again(name)}") from error
        if not isinstance(found, dict) or not isinstance(found.get("gates"), list):
            raise StageDamaged(f"{path}: damaged (it tells of no gates). {self._again(name)}")
        return found

    def require(self, before: str) -> None:
        """Check that every stage before one has run, is whole and passed its gates: whoever asks, it refuses else.

        Raises:
            StageMissing, StageDamaged, GateFailed: what is to be done stands in the text.
        """
        self.passed(before, whole=True)

    def passed(self, before: str, *, whole: bool = False) -> None:
        """The same, without looking whether the folders are ``whole``: for who reads little of them."""
        for name in STAGES[: STAGES.index(before)]:
            summary = self.summary(name)
            if summary is None:
                raise StageMissing(
                    f"{self.key}: the stage {before} needs {name}, which has not run. Run {name} first."
                )
            if whole:
                self.prove(name)
            failed = [gate for gate in summary["gates"] if gate["status"] == "failed"]
            if failed:
                reasons = "; ".join(f"{gate['name']}: {gate['text']}" for gate in failed)
                raise GateFailed(
                    f"{self.key}: the stage {before} will not run, because the package failed the gate of "
                    f"{name} ({reasons}). Mend the package and send it again."
                )

    def prove(self, name: str) -> None:
        """``StageDamaged`` when the folder of a stage holds anything else than it was published with.

        What is fetched from a bucket is proven when it is. Folders of an ALP that wrote no manifests pass.
        """
        if self._store.mirrors:
            return
        folder = self.path / name
        with self._told(name):
            manifest = read_manifest(folder)
            if manifest is None and not (self.summary(name) or {}).get(_PROOF):
                return
            damage = {MANIFEST_FILE: "is missing"} if manifest is None else find_damage(folder, manifest)
        if damage:
            listed = [f"{file} {what}" for file, what in list(damage.items())[:_PROBLEMS_TOLD]]
            more = f" and {len(damage) - len(listed):,} more" if len(damage) > len(listed) else ""
            raise StageDamaged(
                f"{folder}: the stage {name} is damaged: {'; '.join(listed)}{more}. {self._again(name)}"
            )

    @contextmanager
    def publish(self, name: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the stage's, with its manifest, when the block ends well."""
        with self.lock(), self.publish_locked(name) as part:
            yield part

    @contextmanager
    def publish_locked(self, name: str) -> Iterator[Path]:
        """The same for who has locked the package, and holds on to it longer."""
        target, place = self.path / name, f"{self._place}/{name}"
        with replaced_folder(target, self._store.replacing(place)) as part:
            with disk_told(self.data_root, f"{name} of {self.key}"):  # while what was written takes its room
                yield part
                write_manifest(part, target)
            self._store.publish(place, part)

    def withdraw(self, name: str) -> None:
        """Take the folder of a stage away."""
        self._store.remove(f"{self._place}/{name}")
        shutil.rmtree(self.path / name, ignore_errors=True)

    def remove(self) -> None:
        """Take the package away, as if it had never come."""
        self._store.remove(self._place)
        shutil.rmtree(self.path, ignore_errors=True)
        self.forget_unfinished()

    def forget_unfinished(self) -> None:
        """Delete what killed runs kept for their next try."""
        for leftover in (self.data_root / "cache").glob(f"*/{self.key}"):
            shutil.rmtree(leftover, ignore_errors=True)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes off the package. The lock ends with the process, however that ends."""
        busy = f"{self.key}: another process is working on this package. Wait for it to end."
        return self._store.lock(self._place, busy)

    def in_use(self) -> AbstractContextManager[None]:
        """What is fetched while the block runs stays as it was found."""
        return self._store.using()

    @property
    def _store(self) -> Store:
        return store_of(self.data_root)

    @property
    def _place(self) -> str:
        return f"packages/{self.customer}/{self.package}"

    @property
    def _inbox(self) -> str:
        return f"inbox/{self.customer}/{self.package}.zip"

    @contextmanager
    def _told(self, stage: str) -> Iterator[None]:
        try:
            yield
        except FolderDamaged as error:
            raise StageDamaged(f"the stage {stage} is damaged: {error}. {self._again(stage)}") from error

    def _again(self, stage: str) -> str:
        """What to do about a stage that is damaged."""
        how = f"`alp onboard ZIP --customer {self.customer} --package {self.package}` with the same zip"
        if stage in STAGES[1:]:
            how = f"`alp stage {stage} {self.customer}/{self.package}`, `dvc repro`, or materialize it in Dagster"
        return f"Run the stage {stage} of {self.key} again: {how}."


def write_summary(part: Path, summary: Summary) -> Summary:
    """Keep a stage's verdict and figures in its folder, and that a manifest belongs there."""
    write_json(part / SUMMARY_FILE, {**summary.as_json(), _PROOF: MANIFEST_FILE})
    return summary
