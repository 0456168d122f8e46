"""Where drills happen: a small package, what an undisturbed run makes of it, and fresh data roots."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.files import sha256_of
from alp_assets.params import load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.upload import upload
from drills.verdict import DrillFailed
from tests.packages import machine_files, table, zipped

if TYPE_CHECKING:
    from deploy.cluster.local import Cluster
    from drills.job import Job

PARAMETERS = """\
quality: {data_docs: false}
versioned: {enabled: false}
sensitivity: {enabled: false}
models: {engine: isolation_forest}
run: {workers: 1}
"""
CUSTOMER, PACKAGE = "acme", "first"


class Ground:
    """A folder on disk, a package's zip in it, and all that is running for drills until the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = self.new_archive("first", seed=0)
        self._sent = sha256_of(self.archive)
        self._numbers = count(1)
        self._open = ExitStack()

    def close(self) -> None:
        """End what still runs."""
        self._open.close()

    def new_archive(self, name: str, *, seed: int, train: int = 4) -> Path:
        """The zip of one machine: some normals to learn from, two of each kind to judge."""
        files, rows = machine_files(train=train, normal=2, anomaly=2, seed=seed)
        return zipped(self.folder / "zips" / f"{name}.zip", {**files, "metadata.csv": table(rows)})

    @property
    def sent(self) -> str:
        """SHA-256 of the zip, as it was when it was made."""
        return self._sent

    @cached_property
    def undisturbed(self) -> PackageFolder:
        """The package after a run that nobody disturbed."""
        folder = PackageFolder(self.new_root(), CUSTOMER, PACKAGE)
        params = load_params(folder.data_root)
        upload(folder, params, archive=self.archive)
        for name in STAGES[1:]:
            summary = run_stage(name, folder, params)
            if not summary.passed:
                raise DrillFailed(f"the package of the drills does not get through {name}")
        return folder

    def new_root(self, folder: Path | None = None) -> Path:
        """An empty data root with the parameters of drills."""
        root = folder or self.folder / f"root-{next(self._numbers)}"
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(PARAMETERS, encoding="utf-8")
        return root

    @cached_property
    def job(self) -> Job:
        """Dagster on a data root that may be a disk of its own, started when the first drill asks for it.

        Each drill puts there what it needs. Dagster's own files lie elsewhere.
        """
        from drills.job import open_job

        return self._open.enter_context(open_job(self, self.disk / "data", home=self.folder / "dagster"))

    @property
    def disk(self) -> Path:
        """Where small disks are mounted, for as long as a drill needs one."""
        return self.folder / "disk"

    def before(self, stage: str, root: Path | None = None) -> PackageFolder:
        """A fresh data root whose package is through all stages before one; ``end`` for all of them."""
        whole = self.undisturbed
        copy = PackageFolder(root or self.new_root(), CUSTOMER, PACKAGE)
        shutil.copytree(whole.data_root, copy.data_root, dirs_exist_ok=True)
        if stage == "end":
            return copy
        for name in STAGES[STAGES.index(stage) :]:
            shutil.rmtree(copy.path / name)
        if STAGES.index(stage) <= STAGES.index("models"):
            shutil.rmtree(copy.data_root / "models")
            for path in copy.data_root.glob("registry.db*"):
                path.unlink()
        return copy

    @cached_property
    def cluster(self) -> Cluster:
        """PostgreSQL, Redis, Dagster and two workers, started when the first drill asks for them."""
        from drills.cluster import started

        return self._open.enter_context(started(self))


@contextmanager
def open_ground() -> Iterator[Ground]:
    """A ground in a temporary folder, which is removed with all that happened there."""
    folder = Path(tempfile.mkdtemp(prefix="alp-drill-"))
    folder.chmod(0o755)  # PostgreSQL runs as somebody else
    ground = Ground(folder)
    try:
        yield ground
    finally:
        ground.close()
        shutil.rmtree(folder, ignore_errors=True)
