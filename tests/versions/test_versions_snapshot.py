"""Taking versions: what is kept, committed and pushed, and what happens when that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.config import Config

from alp_assets.errors import ModelCorrupt, SnapshotFailed, VersionRefused
from alp_assets.params import with_overrides
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import make_repository
from alp_assets.versions.snapshot import snapshot, snapshot_all
from schemas.sections import Section
from tests.packages import tree

FAN = Section("acme", "fan", "1")


def git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def dvc(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_package_and_model_versions_get_a_dvc_file_each(done, quick):
    taken = snapshot(done, quick)
    root = done.data_root
    assert taken.repository == root
    assert (root / "packages/acme/first.dvc").is_file()
    assert len(list(root.glob("models/acme/fan__1/*.dvc"))) == taken.models == 1
    recorded = yaml.safe_load((root / "packages/acme/first.dvc").read_text())["outs"][0]["md5"]
    assert taken.content_hash == recorded
    assert not taken.pushed
    assert not taken.problem


def test_the_commit_says_what_the_package_came_to_and_nothing_else_is_in_git(done, quick):
    taken = snapshot(done, quick)
    root = done.data_root
    message = git("log", "-1", "--format=%B", cwd=root)
    assert message.startswith("acme/first: 1 of 1 section scored, ")
    assert "fan/1: isolation_forest, alarms promised " in message
    assert "observed " in message
    assert f"Content: {taken.content_hash}" in message
    assert "Model: models/acme/fan__1/" in message
    assert git("rev-parse", "HEAD", cwd=root).strip() == taken.revision
    assert git("status", "--porcelain", cwd=root) == ""
    kept = git("ls-files", cwd=root).split()
    assert all(name.endswith(".dvc") or name.startswith(".") or name == "params.yaml" for name in kept)


def test_dvc_itself_finds_everything_in_order(done, quick):
    snapshot(done, quick)
    assert "up to date" in dvc("status", cwd=done.data_root)
    before = tree(done.path)
    shutil.rmtree(done.path)
    dvc("checkout", "packages/acme/first.dvc", cwd=done.data_root)
    assert tree(done.path) == before


def test_the_snapshot_brings_a_model_version_back(done, quick):
    snapshot(done, quick)
    champion = Registry(done.data_root).champion(FAN)
    shutil.rmtree(champion.folder)
    with pytest.raises(ModelCorrupt):
        verify(champion)
    dvc("checkout", f"{champion.folder}.dvc", cwd=done.data_root)
    verify(champion)


def test_taking_it_again_changes_nothing_and_a_change_changes_the_hash(done, quick):
    first = snapshot(done, quick)
    assert snapshot(done, quick) == first
    run_stage("models", done, with_overrides(quick, {"decision.false_alarm_rate": 0.3}))
    again = snapshot(done, quick)
    assert again.content_hash != first.content_hash
    assert again.revision != first.revision
    assert again.models == 2
    assert len(list(done.data_root.glob("models/acme/fan__1/*.dvc"))) == 2


def test_it_is_pushed_where_there_is_a_remote(done, quick, tmp_path):
    make_repository(done.data_root, str(tmp_path / "store"))
    assert not snapshot(done, with_overrides(quick, {"versioned.push": False})).pushed
    assert not any((tmp_path / "store").rglob("*"))
    assert snapshot(done, quick).pushed
    shutil.rmtree(done.data_root / ".dvc" / "cache")
    shutil.rmtree(done.path)
    dvc("pull", cwd=done.data_root)
    assert (done.stage("scores") / "scores.csv").is_file()


def test_a_remote_that_is_away_is_told_and_pushed_to_later(done, quick, tmp_path):
    store = tmp_path / "mounted" / "store"
    make_repository(done.data_root, str(store))
    shutil.rmtree(store.parent)
    store.parent.write_text("no folder")
    taken = snapshot(done, quick)
    assert taken.content_hash
    assert not taken.pushed
    assert "not copied to the remote" in taken.problem
    store.parent.unlink()
    store.mkdir(parents=True)
    assert snapshot_all(done.data_root, [], quick).problem == ""
    assert len(list(store.rglob("*.dir"))) == 2


def test_the_history_goes_to_a_git_remote(done, quick, tmp_path):
    make_repository(done.data_root)
    git("init", "--bare", "--quiet", str(tmp_path / "history.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "history.git"), cwd=done.data_root)
    taken = snapshot(done, quick)
    assert git("rev-parse", "main", cwd=tmp_path / "history.git").strip() == taken.revision


def test_a_repository_that_fails_is_told_in_words_and_the_package_waits(done, quick):
    make_repository(done.data_root)
    (done.data_root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(SnapshotFailed, match="results are whole"):
        snapshot(done, quick)
    (done.data_root / ".dvc" / "config").write_text("[core]\n")
    assert snapshot_all(done.data_root, [], quick).packages["acme__first"].taken
    assert not Queue(done.data_root).waiting()


def test_a_failure_is_tried_again(done, quick, monkeypatch):
    from alp_assets.versions import patience
    from alp_assets.versions import snapshot as module

    waits = []
    monkeypatch.setattr(patience.time, "sleep", waits.append)
    real, failures = module.opened, iter([RuntimeError("the lock is held"), RuntimeError("still")])

    def failing(repository):
        if error := next(failures, None):
            raise error
        return real(repository)

    monkeypatch.setattr(module, "opened", failing)
    assert snapshot(done, with_overrides(quick, {"versioned.tries": 3})).content_hash
    assert waits == [1.0, 2.0]


def test_a_package_that_is_being_worked_on_waits_for_its_turn(done, quick):
    with done.lock(), pytest.raises(SnapshotFailed, match="another process is working on this package"):
        snapshot(done, quick)
    assert [ticket.key for ticket in Queue(done.data_root).waiting()] == ["acme__first"]
    assert snapshot_all(done.data_root, [], quick).packages["acme__first"].taken


def test_what_a_killed_process_left_waiting_is_taken_with_the_next(done, quick):
    shutil.copytree(done.path, done.data_root / "packages/acme/second")
    Queue(done.data_root).enter(PackageFolder(done.data_root, "acme", "second"))
    snapshot(done, quick)
    assert (done.data_root / "packages/acme/second.dvc").is_file()
    assert not Queue(done.data_root).waiting()


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_lock_that_a_killed_git_left_is_removed(done, quick, name):
    snapshot(done, quick)
    lock = done.data_root / ".git" / name
    lock.touch()
    os.utime(lock, (1, 1))
    (done.path / "report").mkdir()
    (done.path / "report" / "report.html").touch()
    assert snapshot(done, quick).revision
    assert not lock.exists()


@pytest.mark.parametrize("change", ["edited", "foreign file", "no manifest"])
def test_a_damaged_stage_is_not_versioned_and_the_package_waits(done, quick, change):
    scores = done.stage("scores")
    if change == "edited":
        (scores / "scores.csv").write_text((scores / "scores.csv").read_text().replace("anomaly", "normal"))
    elif change == "foreign file":
        (scores / "scores (copy).csv").write_text("by hand")
    else:
        (scores / "manifest.json").unlink()
    with pytest.raises(SnapshotFailed, match="the stage scores is damaged") as refused:
        snapshot(done, quick)
    assert "alp stage scores acme/first" in str(refused.value)
    assert "results are whole" not in str(refused.value)
    assert not (done.data_root / "packages/acme/first.dvc").exists()
    run_stage("scores", done, quick)
    assert snapshot_all(done.data_root, [], quick).packages["acme__first"].taken


def test_nobody_waits_for_a_damaged_package_to_mend_itself(done, quick, monkeypatch):
    (done.stage("scores") / "scores.csv").write_text("by hand")
    monkeypatch.setattr("alp_assets.versions.patience.time.sleep", lambda _: pytest.fail("it was tried again"))
    with pytest.raises(SnapshotFailed, match="the stage scores is damaged"):
        snapshot(done, with_overrides(quick, {"versioned.tries": 3}))


def test_a_damaged_package_keeps_no_other_from_its_version(done, quick):
    other = PackageFolder(done.data_root, "acme", "second")
    shutil.copytree(done.path, other.path)
    (done.stage("scores") / "scores.csv").write_text("by hand")
    taken = snapshot_all(done.data_root, [done, other], quick).packages
    assert (taken["acme__first"].taken, taken["acme__second"].taken) == (False, True)


@pytest.mark.parametrize("which", ["packages/acme/first.dvc", "models/acme/fan__1/*.dvc"])
def test_a_file_that_is_not_dvcs_is_named_with_what_brings_it_back(done, quick, which):
    first = snapshot(done, quick)
    (path,) = done.data_root.glob(which)
    for text in ("", "hello", "outs: []", "outs:\n- md5: 7\n", "<<<<<<< HEAD\nouts:\n", "outs: ["):
        path.write_text(text)
        with pytest.raises(SnapshotFailed, match=f"{path.name}: is no file of DVC's") as refused:
            snapshot(done, quick)
        assert f"git -C {path.parent} checkout -- {path.name}" in str(refused.value)
        assert path.read_text() == text
    git("checkout", "--", path.name, cwd=path.parent)
    assert snapshot(done, quick) == first


def test_parameters_and_weights_that_were_deleted_are_so_in_history(done, quick):
    weights = done.data_root / "weights" / "beats.dvc"
    weights.parent.mkdir()
    weights.write_text("outs:\n- path: beats\n")
    (done.data_root / "params.yaml").write_text("{}\n")
    snapshot(done, quick)
    assert {"params.yaml", "weights/beats.dvc"} < set(git("ls-files", cwd=done.data_root).split())
    weights.unlink()
    (done.data_root / "params.yaml").unlink()
    run_stage("models", done, with_overrides(quick, {"decision.false_alarm_rate": 0.3}))
    snapshot(done, quick)
    assert git("status", "--porcelain", cwd=done.data_root) == ""
    assert not {"params.yaml", "weights/beats.dvc"} & set(git("ls-files", cwd=done.data_root).split())
    run_stage("models", done, quick)
    assert snapshot(done, quick).revision


@pytest.mark.parametrize("known", [{}, {"user.email": "x@localhost"}, {"user.name": "x"}])
def test_whoever_git_knows_by_halves_can_commit(root, tmp_path, monkeypatch, known):
    settings = tmp_path / "gitconfig"
    for name, value in {"user.useConfigOnly": "true", **known}.items():
        git("config", "--file", str(settings), name, value, cwd=tmp_path)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    made = make_repository(root)
    wanted = f"{known.get('user.name', 'ALP')} {known.get('user.email', 'alp@localhost')}"
    assert made.git("log", "--format=%an %ae").strip() == wanted


def test_a_remote_with_a_korean_name_is_kept_and_used(done, quick, tmp_path):
    store = tmp_path / "원격, #1 저장소"
    make_repository(done.data_root, str(tmp_path / "before"))
    make_repository(done.data_root, str(store))
    config = Config(str(done.data_root / ".dvc"))
    assert config["remote"]["store"]["url"] == str(store)
    assert config["core"]["remote"] == "store"
    assert config["core"]["analytics"] is False
    assert config["cache"]["type"][-1] == "copy"
    assert snapshot(done, quick).pushed
    assert any(store.rglob("*.dir"))


def test_what_people_set_in_the_configuration_stays(root, tmp_path):
    make_repository(root)
    dvc("remote", "add", "other", str(tmp_path / "other"), cwd=root)
    dvc("config", "cache.type", "copy", cwd=root)
    make_repository(root, str(tmp_path / "store"))
    config = Config(str(root / ".dvc"))
    assert config["remote"].keys() == {"other", "store"}
    assert config["cache"]["type"] == ["copy"]


def test_a_configuration_that_is_spoilt_stays_as_it_is(root, tmp_path):
    make_repository(root)
    config = root / ".dvc" / "config"
    config.write_text("[core\n")
    with pytest.raises(VersionRefused, match=r"git checkout \.dvc/config"):
        make_repository(root, str(tmp_path / "store"))
    assert config.read_text() == "[core\n"


def test_a_remote_whose_name_is_not_utf8_is_refused(root):
    with pytest.raises(VersionRefused, match="not UTF-8"):
        make_repository(root, "/tmp/\udcbf\udcf8")
    assert not root.exists()


@pytest.mark.parametrize("inside", ["", "packages", "new/store"])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_remote_in_the_data_root_is_refused(root, inside, form):
    with pytest.raises(VersionRefused, match="lies in the data root"):
        make_repository(root, form.format(root / inside))
    assert not root.exists()


def test_several_who_make_the_repository_at_once_make_one(root, tmp_path):
    code = "import sys; from alp_assets.cli import main; sys.argv[0] = 'alp'; main()"
    stores = [str(tmp_path / name) for name in ("a", "b", "b")]
    started = [
        subprocess.Popen([sys.executable, "-c", code, "init", str(root), "--remote", store]) for store in stores
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0, 0]
    said = git("log", "--format=%s", cwd=root).splitlines()
    assert said[0] == f"Versions are stored in {Config(str(root / '.dvc'))['remote']['store']['url']}"
    assert git("status", "--porcelain", cwd=root) == ""


def test_a_repository_whose_making_was_interrupted_is_made(root):
    (root / ".dvc" / "tmp").mkdir(parents=True)
    made = make_repository(root)
    assert made.own
    assert "hardlink" in dvc("config", "cache.type", cwd=root)
    assert git("status", "--porcelain", cwd=root) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_data_root_of_another_user_is_versioned(done, quick):
    os.chown(done.data_root, 12345, 12345)  # as the top of a mounted volume is
    assert snapshot(done, quick).revision
    os.chown(done.data_root / ".git", 12345, 12345)
    with pytest.raises(SnapshotFailed, match="ownership"):
        snapshot(done, quick)


def test_a_package_that_is_not_there_is_refused(root, quick):
    with pytest.raises(SnapshotFailed, match="no such package"):
        snapshot(PackageFolder(root, "acme", "none"), quick)


def test_a_repository_without_git_gets_one(done, quick):
    dvc("init", "--no-scm", "-q", cwd=_made(done.data_root))
    taken = snapshot(done, quick)
    assert git("rev-parse", "HEAD", cwd=done.data_root).strip() == taken.revision


def test_inside_a_project_nothing_is_committed(done, quick, tmp_path):
    git("init", "--quiet", cwd=tmp_path)
    dvc("init", "-q", cwd=tmp_path)
    taken = snapshot(done, quick)
    assert taken.repository == tmp_path
    assert taken.revision == ""
    assert (done.data_root / "packages/acme/first.dvc").is_file()
    assert not (done.data_root / ".git").exists()
    assert subprocess.run(["git", "rev-parse", "-q", "HEAD"], cwd=tmp_path, capture_output=True).returncode


def test_in_somebodys_git_repository_nothing_is_committed(done, quick):
    git("init", "--quiet", cwd=done.data_root)
    with pytest.raises(SnapshotFailed, match="a git repository that ALP did not make"):
        snapshot(done, quick)
    dvc("init", "-q", cwd=done.data_root)
    assert snapshot(done, quick).revision == ""


def test_a_remote_that_cannot_be_reached_makes_no_repository(root, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(VersionRefused, match="cannot be reached"):
        make_repository(root, str(tmp_path / "file" / "store"))
    with pytest.raises(VersionRefused, match=r"dvc-ssh|cannot be reached"):
        make_repository(root, "ssh://nobody@127.0.0.1:1/store")
    assert not root.exists()


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place
