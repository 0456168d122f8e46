"""A small package that was worked through once, and copies of its data root to version."""

import os
import shutil

import pytest

from alp_assets.params import with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.snapshot import snapshot
from tests.packages import FAST, machine_package, receive, run_through

QUICK = with_overrides(
    FAST,
    {
        "models.engine": "isolation_forest",
        "models.isolation_forest.trees": 10,
        "sensitivity.enabled": False,
        "versioned.tries": 1,
    },
)
LATER = with_overrides(QUICK, {"models.isolation_forest.trees": 12, "decision.policy": "quantile"})


@pytest.fixture(scope="session")
def worked_through(tmp_path_factory):
    """A data root with the package acme/first, up to its scores."""
    place = tmp_path_factory.mktemp("versions")
    folder = receive(place / "data", machine_package(place / "p.zip", train=3, normal=2, anomaly=2))
    run_through(folder, until="scores", params=QUICK)
    return folder


@pytest.fixture(scope="session")
def versioned_twice(worked_through, tmp_path_factory):
    """The data root of the package with two versions, the later one fitted with other parameters."""
    root = tmp_path_factory.mktemp("twice") / "data"
    shutil.copytree(worked_through.data_root, root)
    folder = PackageFolder(root, "acme", "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root / "cache" / "dvc"))
        snapshot(folder, QUICK)
        for stage in ("models", "scores"):
            run_stage(stage, folder, LATER)
        snapshot(folder, QUICK)
    return folder


@pytest.fixture
def quick():
    """Parameters that make stages quick and snapshots impatient."""
    return QUICK


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root of the test's own."""
    place = tmp_path / "data"
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(place / "cache" / "dvc"))
    monkeypatch.setenv("ALP_DATA", str(place))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return place


@pytest.fixture
def done(worked_through, root):
    """The package in a data root of the test's own, without any version."""
    shutil.copytree(worked_through.data_root, root)
    return PackageFolder(root, "acme", "first")


@pytest.fixture
def twice(versioned_twice, root):
    """The package with its two versions in a data root of the test's own."""
    shutil.copytree(versioned_twice.data_root, root, copy_function=_linked)
    return PackageFolder(root, "acme", "first")


def _linked(source, target):
    """Copy what is written to in place, link what never is."""
    if "/.dvc/cache/" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
