"""A process killed at any moment leaves the old stage folder or none, and the next run mends everything."""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from alp_assets.errors import PackageBusy, StageMissing
from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.upload import upload
from schemas.sections import Section
from tests.packages import FAST, machine_files, machine_package, receive, run_through, table, tree, zipped

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60

RUN_AND_BLOCK = """
import sys, time
from pathlib import Path
import alp_assets.stages.shards as shards
import alp_assets.stages.upload as upload_stage
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from tests.packages import FAST

root, stage, archive, steps, marker = sys.argv[1:]
upload_stage._CHUNK = 4096
shards._BATCH = 4

def block(done, total, what):
    if done == int(steps):
        Path(marker).touch()
        time.sleep(600)

folder = PackageFolder(Path(root), "acme", "first")
if stage == "upload":
    block.seen = 0
    def progress(done, total, what):
        block.seen += 1
        block(block.seen, total, what)
    upload_stage.upload(folder, FAST, progress, archive=Path(archive))
else:
    run_stage(stage, folder, FAST, block)
"""

DIE_BETWEEN_THE_RENAMES = """
import os, signal, sys
from pathlib import Path
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from tests.packages import FAST

folder = PackageFolder(Path(sys.argv[1]), "acme", "first")
rename = os.rename

def rename_and_die(source, target):
    rename(source, target)
    if Path(source) == folder.stage("clips"):
        os.kill(os.getpid(), signal.SIGKILL)

os.rename = rename_and_die
run_stage("clips", folder, FAST)
"""


def started(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=PROJECT)


@contextmanager
def blocked(root, stage, archive, steps, marker):
    """Another process in the middle of a stage, killed with SIGKILL when the block ends."""
    process = started(RUN_AND_BLOCK, root, stage, archive, steps, marker)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not marker.exists():
            assert process.poll() is None, "the stage ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A package of two machines that nobody disturbed, and its zip."""
    place = tmp_path_factory.mktemp("undisturbed")
    files, rows = machine_files(train=4, normal=2, anomaly=2)
    more_files, more_rows = machine_files(section="2", train=4, normal=2, anomaly=2, seed=1)
    archive = zipped(place / "p.zip", {**files, **more_files, "metadata.csv": table(rows + more_rows)})
    folder = receive(place / "data", archive)
    assert all(summary.passed for summary in run_through(folder).values())
    return folder, archive


def copy_of(folder, root, *, until=None):
    """The data root of a package as it was before a stage, or as it is; the receipt comes with it."""
    shutil.copytree(folder.data_root, root)
    copy = PackageFolder(root, folder.customer, folder.package)
    if until is not None:
        for name in STAGES[STAGES.index(until) :]:
            shutil.rmtree(copy.stage(name))
        if until in STAGES[: STAGES.index("models") + 1]:
            shutil.rmtree(root / "models")
            (root / "registry.db").unlink()
    return copy


def digests(folder, *, without=()):
    """Every file below the data root but for what holds the time of a run."""
    return {
        path: digest
        for path, digest in tree(folder.data_root).items()
        if Path(path).name != "registry.db" and not any(part in path for part in without)
    }


def registered(folder):
    """The versions of the two machines' models."""
    registry = Registry(folder.data_root)
    return [[item.version for item in registry.versions(Section("acme", "fan", name))] for name in ("1", "2")]


def leftovers(folder):
    """Temporary files and folders below the data root. A lock is a file that stays."""
    return [path for path in tree(folder.data_root) if "/." in f"/{path}" and not path.endswith(".lock")]


@pytest.mark.parametrize(
    ("stage", "steps"), [("quality", 6), ("clips", 6), ("embeddings", 8), ("models", 1), ("scores", 1)]
)
def test_a_first_run_that_was_killed_leaves_nothing_and_the_next_gives_the_same_bytes(
    tmp_path, undisturbed, stage, steps
):
    whole, archive = undisturbed
    folder = copy_of(whole, tmp_path / "data", until=stage)
    with blocked(folder.data_root, stage, archive, steps, tmp_path / "marker"):
        assert any(leftovers(folder)), "it was killed before it had written anything"
    assert not folder.stage(stage).exists()
    run_stage(stage, folder, FAST)
    assert leftovers(folder) == []
    assert digests(folder).items() <= digests(whole).items()
    assert tree(folder.stage(stage)) == tree(whole.stage(stage))
    if stage == "models":
        assert registered(folder) == registered(whole)


def test_an_upload_that_was_killed_is_no_package_until_it_is_sent_again(tmp_path, undisturbed):
    whole, archive = undisturbed
    folder = PackageFolder(tmp_path / "data", "acme", "first")
    with blocked(folder.data_root, "upload", archive, 5, tmp_path / "marker"):
        assert any(leftovers(folder))
    assert not folder.stage("upload").exists()
    with pytest.raises(StageMissing, match="Run upload first"):
        run_stage("metadata", folder, FAST)
    upload(folder, FAST, archive=archive)
    run_through(folder)
    assert leftovers(folder) == []
    own = ("receipt.json", "upload/manifest.json", "report/")
    assert digests(folder, without=own) == digests(whole, without=own)
    assert registered(folder) == registered(whole)


def test_killed_before_its_models_were_registered_the_next_run_registers_them(tmp_path, undisturbed, monkeypatch):
    whole, _ = undisturbed
    folder = copy_of(whole, tmp_path / "data", until="models")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "register", die)
        with pytest.raises(KeyboardInterrupt):
            run_stage("models", folder, FAST)
    assert registered(folder) == [[], []]
    run_stage("models", folder, FAST)
    assert registered(folder) == registered(whole)
    assert tree(folder.stage("models")) == tree(whole.stage("models"))


@pytest.mark.parametrize(("stage", "steps"), [("quality", 3), ("clips", 6), ("embeddings", 8), ("report", 1)])
def test_a_later_run_that_was_killed_leaves_the_old_folder_and_a_lock_that_is_free(
    tmp_path, undisturbed, stage, steps
):
    whole, archive = undisturbed
    folder = copy_of(whole, tmp_path / "data")
    before = tree(folder.stage(stage))
    with blocked(folder.data_root, stage, archive, steps, tmp_path / "marker"):
        if stage != "report":
            with pytest.raises(
                PackageBusy, match=r"acme__first: another process is working on this package\. Wait"
            ):
                run_stage(stage, folder, FAST)
            with pytest.raises(PackageBusy):
                run_stage("scores", folder, FAST)
        assert tree(folder.stage(stage)) == before
    assert tree(folder.stage(stage)) == before
    run_stage(stage, folder, FAST)
    assert leftovers(folder) == []
    assert digests(folder) == digests(whole)


def test_a_package_that_is_worked_on_keeps_no_other_package_waiting(tmp_path, undisturbed):
    whole, archive = undisturbed
    folder = copy_of(whole, tmp_path / "data", until="quality")
    other = receive(
        folder.data_root, machine_package(tmp_path / "q.zip", train=2, normal=1, anomaly=0), package="other"
    )
    with blocked(folder.data_root, "quality", archive, 1, tmp_path / "marker"):
        with pytest.raises(PackageBusy):
            run_stage("quality", folder, FAST)
        assert all(summary.passed for summary in run_through(other).values())


def test_killed_between_the_two_renames_there_is_no_folder_and_the_next_run_mends_it(tmp_path, undisturbed):
    whole, _ = undisturbed
    folder = copy_of(whole, tmp_path / "data")
    assert started(DIE_BETWEEN_THE_RENAMES, folder.data_root).wait(PATIENCE_S) == -signal.SIGKILL
    assert not folder.stage("clips").exists()
    run_stage("clips", folder, FAST)
    assert leftovers(folder) == []
    assert digests(folder) == digests(whole)
