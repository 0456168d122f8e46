"""Versions: a finished package and the new model versions under DVC, one ``.dvc`` file each."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.errors import SnapshotFailed
from alp_assets.params import PROJECT, Params
from alp_assets.stages.models import package_versions
from alp_assets.stages.package import STAGES, PackageFolder

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class Snapshot:
    """What was versioned: the content hash of the package, its model versions, and whether it was pushed."""

    content_hash: str
    models: int
    pushed: bool
    repository: Path


def snapshot(folder: PackageFolder, params: Params) -> Snapshot:
    """Version a package folder and the model versions that came from it.

    A package that ``dvc.yaml`` works through is committed as its outputs, so that ``dvc status`` stays
    clean; every other package gets a ``.dvc`` file of its own. A data root that lies in no DVC
    repository becomes one. Waits for DVC's lock; ``SnapshotFailed`` says what went wrong.
    """
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with folder.lock(), redirect_stdout(io.StringIO()):
            root = _repository(folder.data_root)
            with _opened(root) as repo:
                return _take(repo, root, folder, params)
    except Exception as error:  # each kind of remote raises errors of its own; none may undo the detection
        raise SnapshotFailed(
            f"{folder.key}: DVC could not version the package ({error!r}). Its results are whole; run "
            "`versioned` again when this is mended."
        ) from error


def _take(repo: Repo, root: Path, folder: PackageFolder, params: Params) -> Snapshot:
    models = package_versions(folder)
    targets = [str(path) for path in models]
    pipeline = _pipeline_stages(folder, params, root)
    for name in pipeline:
        repo.commit(target=name, force=True)
    if not pipeline:
        targets.append(str(folder.path))
    if targets:
        repo.add(targets)
    remote = repo.config.get("core", {}).get("remote")
    pushed = bool(params.versioned.push and remote)
    if pushed:
        repo.push(targets=[*pipeline, *(f"{target}.dvc" for target in targets)])
    return Snapshot(_content_hash(repo, folder), len(models), pushed, root)


def _content_hash(repo: Repo, folder: PackageFolder) -> str:
    """The hash that DVC knows the package by; of a pipeline's package, that of its scores."""
    for path in (folder.path, folder.stage("scores")):
        for out in repo.index.outs:
            if Path(out.fs_path) == path:
                return str(out.hash_info.value)
    raise SnapshotFailed(f"{folder.key}: DVC holds nothing at {folder.path} after the snapshot.")


def _pipeline_stages(folder: PackageFolder, params: Params, root: Path) -> list[str]:
    """The stages of ``dvc.yaml`` that make this package, or none."""
    if root != PROJECT or folder.data_root.resolve() != PROJECT / "data":
        return []
    for name, reference in params.packages.items():
        if (reference.customer, reference.package) == (folder.customer, folder.package):
            return [f"{stage}@{name}" for stage in STAGES]
    return []


def _repository(data_root: Path) -> Path:
    """The DVC repository that holds a data root; one is made where there is none."""
    from dvc.repo import Repo

    place = data_root.resolve()
    for candidate in (place, *place.parents):
        if (candidate / ".dvc" / "config").is_file():
            return candidate
    place.mkdir(parents=True, exist_ok=True)
    with Repo.init(str(place), no_scm=True) as repo, repo.config.edit() as config:
        config["core"]["analytics"] = False
        config["cache"]["type"] = ["reflink", "hardlink", "copy"]
    return place


@contextmanager
def _opened(root: Path) -> Iterator[Repo]:
    """DVC's repository, its lock waited for."""
    from dvc.repo import Repo

    with Repo(str(root), _wait_for_lock=True) as repo:
        yield repo
