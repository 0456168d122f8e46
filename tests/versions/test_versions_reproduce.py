"""Making the scores of a version again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alp_assets.errors import VersionRefused
from alp_assets.params import PROJECT
from alp_assets.progress import silent
from alp_assets.registry import rows
from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES
from alp_assets.stages.scores import read_metrics
from alp_assets.store.manifest import write_manifest
from alp_assets.versions.repository import repository_of
from alp_assets.versions.reproduce import reproduce
from alp_assets.versions.snapshot import snapshot
from tests.packages import machine_package, receive, run_through


def again(folder, revision, params):
    stages = []
    done = reproduce(folder, revision, params, lambda told: stages.append(told.stage), lambda _: silent)
    assert stages == list(STAGES[:-1])
    assert not list((folder.data_root / "versions").glob("reproduce-*"))
    return done


@pytest.fixture
def years_later(monkeypatch):
    """From the call on it is another year for the registry and for git."""

    def go():
        monkeypatch.setattr(rows, "now", lambda: "2090-06-15T12:00:00.000000+00:00")
        for name in ("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"):
            monkeypatch.setenv(name, "2091-06-15T12:00:00Z")

    return go


def later_commit(folder):
    """A commit that changes nothing."""
    somebody = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    repository_of(folder.data_root).git(*somebody, "commit", "--quiet", "--allow-empty", "-m", "nothing")


def test_the_scores_of_a_version_are_made_again(twice, quick, monkeypatch):
    monkeypatch.setenv("ALP_REGISTRY_URL", f"sqlite:///{twice.data_root / 'registry.db'}")
    before = [item.version for item in Registry(twice.data_root).find()]
    shutil.rmtree(twice.path)
    done = again(twice, "HEAD~1", quick)
    assert done.identical
    assert [(item.section, item.clips, item.identical) for item in done.sections] == [("fan/1", 7, True)]
    assert [item.version for item in Registry(twice.data_root).find()] == before
    assert os.environ["ALP_REGISTRY_URL"]


def test_scores_that_were_changed_are_found_by_section(twice, quick):
    path = twice.stage("scores") / "scores.csv"
    lines = path.read_text().splitlines(keepends=True)
    cells = lines[1].split(",")
    cells[6] = str(float(cells[6]) + 0.25)
    path.unlink()
    path.write_text("".join([lines[0], ",".join(cells), *lines[2:-1]]), newline="")
    write_manifest(path.parent, path.parent)
    snapshot(twice, quick)
    done = again(twice, "", quick)
    assert not done.identical
    (section,) = done.sections
    assert (section.differing, section.missing, section.added) == (1, 0, 1)
    assert section.largest == pytest.approx(0.25)


def test_a_version_without_scores_is_refused(done, quick):
    shutil.rmtree(done.stage("scores"))
    snapshot(done, quick)
    with pytest.raises(VersionRefused, match=r"holds no scores/scores.csv"):
        reproduce(done, "", quick, print, lambda _: silent)


def test_parameters_that_this_alp_does_not_know_are_told(done, quick):
    path = done.stage("scores") / "metrics.json"
    text = path.read_text().replace('"false_alarm_rate"', '"rate_of_another_time"')
    path.write_text(text)
    write_manifest(path.parent, path.parent)
    snapshot(done, quick)
    with pytest.raises(VersionRefused, match=r"decision.rate_of_another_time"):
        reproduce(done, "", quick, print, lambda _: silent)


def test_labels_count_as_they_did_when_the_version_was_scored(done, quick, years_later):
    registry = Registry(done.data_root)
    registry.label("acme", "first", "train_normal_00", "anomaly", "a cart passed", "me")
    registry.label("acme", "first", "test_normal_03", "anomaly", "it was real", "me")
    for name in ("models", "scores"):
        run_stage(name, done, quick)
    registry.label("acme", "first", "test_normal_04", "anomaly", "before the snapshot", "me")
    registry.label("acme", "first", "test_normal_03", "normal", "it was not", "me")
    snapshot(done, quick)
    assert again(done, "", quick).identical
    years_later()
    registry.label("acme", "first", "train_normal_00", "normal", "no cart", "me")
    registry.label("acme", "first", "train_normal_01", "anomaly", "", "me")
    later_commit(done)
    assert again(done, "HEAD", quick).identical


def test_a_label_that_nobody_gave_is_a_difference(done, quick):
    path = done.stage("scores") / "scores.csv"
    text = path.read_bytes().replace(b",anomaly\r\n", b",normal\r\n")
    path.unlink()
    path.write_bytes(text)
    write_manifest(path.parent, path.parent)
    snapshot(done, quick)
    assert not again(done, "", quick).identical


def test_what_killed_calls_left_goes_with_the_next_and_that_of_others_stays(twice, quick):
    place = twice.data_root / "versions"
    (leftover := place / "reproduce-killed" / "packages").mkdir(parents=True)

    def meanwhile(told):
        if told.stage == "upload":
            with pytest.raises(VersionRefused, match="no revision"):
                reproduce(twice, "nonsense", quick, print, lambda _: silent)
            assert list(place.glob("reproduce-*"))

    assert reproduce(twice, "HEAD", quick, meanwhile, lambda _: silent).identical
    assert not leftover.exists()
    assert not list(place.glob("reproduce-*"))


@pytest.mark.slow
def test_what_other_packages_gave_comes_with_it(done, quick, tmp_path, years_later):
    """Normals of an earlier package, a champion that was fitted elsewhere, a threshold and labels by hand."""
    root = done.data_root
    Registry(root).label("acme", "first", "test_normal_03", "normal", "a false alarm", "me")
    Registry(root).label("acme", "first", "train_normal_00", "anomaly", "a cart passed", "me")
    later = receive(root, machine_package(tmp_path / "2.zip", train=2, normal=2, seed=2), package="later")
    run_through(later, until="scores", params=quick)
    registry = Registry(root)
    champion = registry.find(state="champion")[0]
    registry.save_threshold(champion.version, champion.threshold + 0.01, "quieter", "me")
    test_only = machine_package(tmp_path / "3.zip", train=0, normal=3, anomaly=1, seed=3)
    last = receive(root, test_only, package="last")
    registry.label("acme", "last", "test_normal_00", "anomaly", "it was real", "me")
    run_through(last, until="scores", params=quick)
    for folder in (done, later, last):
        snapshot(folder, quick)
    assert read_metrics(last)["sections"][0]["model_package"] == "later"
    assert again(later, "", quick).identical
    assert again(last, "", quick).identical
    years_later()
    since = {"test_normal_03": "anomaly", "test_normal_04": "normal", "train_normal_00": "normal"}
    for clip, label in since.items():
        registry.label("acme", "first", clip, label, "on second thoughts", "me")
    Path(f"{done.path}.dvc").unlink()
    repository_of(root).git.committed(["packages/acme/first.dvc"], "the earlier package is gone")
    assert again(later, "HEAD", quick).identical


@pytest.mark.slow
def test_dvc_repro_works_through_the_reference_package_once_and_alp_reproduces_it(tmp_path):
    """The committed dvc.yaml over a small reference package, in a folder like the checkout."""
    _project(tmp_path)
    environment = {**os.environ, "ALP_DATA": str(tmp_path / "elsewhere"), "DVC_NO_ANALYTICS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env=environment)
        return done.stdout

    def dvc(*arguments: str) -> str:
        return run(sys.executable, "-m", "dvc", *arguments)

    dvc("repro")
    assert (tmp_path / "data/packages/reference/fan-pump/report/report.html").is_file()
    assert "up to date" in dvc("repro")
    assert '"auc"' in dvc("metrics", "show", "--json")
    shown = dvc("plots", "show", "--json")
    assert all(name in shown for name in ("roc.csv", "Histogram of the scores", "Calibration"))
    run("git", "add", "dvc.lock")
    run("git", "-c", "user.name=me", "-c", "user.email=me@here", "commit", "-qm", "Reference package")
    alp = (sys.executable, "-m", "alp_assets")
    said = run(*alp, "reproduce", "reference/fan-pump@HEAD", "--data", "data")
    assert "Identical" in said


def _project(place: Path) -> None:
    for name in ("alp_assets", "schemas"):
        shutil.copytree(PROJECT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (PROJECT / "dvc.yaml").read_text().replace(".venv/bin/alp", f"{sys.executable} -m alp_assets")
    (place / "dvc.yaml").write_text(text)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["synth"] |= {"source_normals": 3, "target_normals": 3, "test_normals": 2, "test_anomalies": 2}
    params["synth"] |= {"machines": ["fan"], "duration_s": 2.0}
    params["quality"]["data_docs"] = False
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=place, check=True)
    shutil.copy(PROJECT / ".dvcignore", place)
    shutil.copytree(PROJECT / ".dvc" / "plots", place / ".dvc" / "plots")
    (place / "data").mkdir()
    shutil.copy(PROJECT / "data" / ".gitignore", place / "data")
