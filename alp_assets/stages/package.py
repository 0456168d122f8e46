"""The package folder: where each stage keeps its results, and who may write there."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.errors import AlpError, GateFailed, NameRefused, PackageBusy, StageMissing
from alp_assets.files import read_json, replaced_folder, write_json
from alp_assets.stages.summary import Summary
from schemas.sections import SLUG

STAGES = ("upload", "metadata", "quality", "clips", "embeddings", "models", "scores", "report")
SUMMARY_FILE = "summary.json"
REJECTED = "rejected"
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

    @property
    def key(self) -> str:
        """The Dagster partition of the package."""
        return f"{self.customer}__{self.package}"

    @property
    def path(self) -> Path:
        """Where the stages of the package lie."""
        return self.data_root / "packages" / self.customer / self.package

    @property
    def inbox(self) -> Path:
        """Where the package's zip arrives."""
        return self.data_root / "inbox" / self.customer / f"{self.package}.zip"

    def stage(self, name: str) -> Path:
        """The folder of a stage, whether it exists or not."""
        return self.path / name

    def summary(self, name: str) -> dict[str, Any] | None:
        """What a stage said of itself, or ``None`` when it has not run."""
        try:
            found: dict[str, Any] = read_json(self.stage(name) / SUMMARY_FILE)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise AlpError(
                f"{self.stage(name) / SUMMARY_FILE}: damaged ({error}). Run the stage {name} of {self.key} again."
            ) from error
        return found

    def require(self, before: str) -> None:
        """Check that every stage before one has run and passed its gates: whoever asks, it refuses else."""
        for name in STAGES[: STAGES.index(before)]:
            summary = self.summary(name)
            if summary is None:
                raise StageMissing(
                    f"{self.key}: the stage {before} needs {name}, which has not run. Run {name} first."
                )
            failed = [gate for gate in summary["gates"] if gate["status"] == "failed"]
            if failed:
                reasons = "; ".join(f"{gate['name']}: {gate['text']}" for gate in failed)
                raise GateFailed(
                    f"{self.key}: the stage {before} will not run, because the package failed the gate of "
                    f"{name} ({reasons}). Mend the package and send it again."
                )

    @contextmanager
    def publish(self, name: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the stage's when the block ends well."""
        with self.lock(), replaced_folder(self.stage(name)) as part:
            yield part

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes off the package. The lock ends with the process, however that ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.package}.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PackageBusy(
                    f"{self.key}: another process is working on this package. Wait for it to end."
                ) from error
            yield


def write_summary(part: Path, summary: Summary) -> Summary:
    """Keep a stage's verdict and figures in its folder."""
    write_json(part / SUMMARY_FILE, summary.as_json())
    return summary
