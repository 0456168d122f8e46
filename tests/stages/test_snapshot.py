"""Versions with DVC."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alp_assets.errors import ModelCorrupt
from alp_assets.params import PROJECT, with_overrides
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.snapshot import snapshot
from schemas.sections import Section
from tests.packages import FAST, machine_package, receive, run_through

pytestmark = pytest.mark.slow


@pytest.fixture
def done(tmp_path):
    folder = receive(tmp_path / "data", machine_package(tmp_path / "p.zip", train=3, normal=1, anomaly=1))
    run_through(folder)
    return folder


def dvc(*arguments: str, cwd: Path, **environment: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", **environment},
    )
    return done.stdout


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_package_and_model_versions_get_a_dvc_file_each(done):
    taken = snapshot(done, FAST)
    root = done.data_root
    assert taken.repository == root
    assert (root / "packages/acme/first.dvc").is_file()
    assert len(list(root.glob("models/acme/fan__1/*.dvc"))) == taken.models == 1
    recorded = yaml.safe_load((root / "packages/acme/first.dvc").read_text())["outs"][0]["md5"]
    assert taken.content_hash == recorded


def test_the_snapshot_brings_the_package_back(done):
    snapshot(done, FAST)
    before = tree(done.path)
    shutil.rmtree(done.path)
    dvc("checkout", "packages/acme/first.dvc", cwd=done.data_root)
    assert tree(done.path) == before


def test_the_snapshot_brings_a_model_version_back(done):
    snapshot(done, FAST)
    champion = Registry(done.data_root).champion(Section("acme", "fan", "1"))
    shutil.rmtree(champion.folder)
    with pytest.raises(ModelCorrupt):
        verify(champion)
    dvc("checkout", f"{champion.folder}.dvc", cwd=done.data_root)
    verify(champion)


def test_taking_it_again_changes_nothing_and_a_change_changes_the_hash(done):
    first = snapshot(done, FAST)
    assert snapshot(done, FAST).content_hash == first.content_hash
    run_through(done, params=with_overrides(FAST, {"decision.false_alarm_rate": 0.3}))
    again = snapshot(done, FAST)
    assert again.content_hash != first.content_hash
    assert len(list(done.data_root.glob("models/acme/fan__1/*.dvc"))) == 2


def test_it_is_pushed_where_there_is_a_remote(done, tmp_path):
    assert not snapshot(done, FAST).pushed
    dvc("remote", "add", "--default", "store", str(tmp_path / "store"), cwd=done.data_root)
    assert not snapshot(done, with_overrides(FAST, {"versioned.push": False})).pushed
    assert snapshot(done, FAST).pushed
    assert any((tmp_path / "store").rglob("*"))


def test_a_remote_that_cannot_be_reached_is_told_in_words(done, tmp_path):
    from alp_assets.errors import SnapshotFailed

    snapshot(done, FAST)
    (tmp_path / "file").write_text("no folder")
    dvc("remote", "add", "--default", "store", str(tmp_path / "file" / "store"), cwd=done.data_root)
    with pytest.raises(SnapshotFailed, match="results are whole"):
        snapshot(done, FAST)


def test_dvc_repro_works_through_the_reference_package_once(tmp_path):
    """The committed dvc.yaml over a small reference package, in a folder like the checkout."""
    for name in ("alp_assets", "schemas"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (PROJECT / "dvc.yaml").read_text().replace(".venv/bin/alp", f"{sys.executable} -m alp_assets")
    (tmp_path / "dvc.yaml").write_text(text)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["synth"] |= {"source_normals": 3, "target_normals": 3, "test_normals": 2, "test_anomalies": 2}
    params["synth"] |= {"machines": ["fan"], "duration_s": 2.0}
    params["quality"]["data_docs"] = False
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    places = {"ALP_DATA": str(tmp_path / "elsewhere")}
    dvc("init", "--no-scm", "-q", cwd=tmp_path)
    shutil.copy(PROJECT / ".dvcignore", tmp_path)
    dvc("repro", cwd=tmp_path, **places)
    assert (tmp_path / "data/packages/reference/fan-pump/report/report.html").is_file()
    assert "up to date" in dvc("repro", cwd=tmp_path, **places)
    shown = dvc("metrics", "show", "--json", cwd=tmp_path)
    assert '"auc"' in shown
    assert "fan-pump" in dvc("plots", "show", "--json", cwd=tmp_path)
