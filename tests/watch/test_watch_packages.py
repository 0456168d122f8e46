"""States of packages, by their folders and runs."""

from __future__ import annotations

import json
import os
import time

import pytest

from alp_assets.stages import package as stages_package
from alp_assets.store.manifest import write_manifest
from alp_assets.watch import packages as module
from alp_assets.watch.packages import STAGES, Package, Packages, read_package, state_of
from alp_assets.watch.runs import Run
from tests.store.buckets import machine, running
from tests.watch.roots import DAY, NOW, arrive, gate, package


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


def look(root, **options):
    return {item.key: item for item in Packages(root, **options).look()}


def last_run(status, ended=0.0):
    return Run("r1", "acme__first", status, ended - 60, ended)


def test_the_stages_are_those_of_the_package_folder():
    assert STAGES == stages_package.STAGES


@pytest.mark.parametrize(
    ("made", "run", "state"),
    [
        ({}, None, "finished"),
        ({"until": "clips"}, None, "stopped"),
        ({"until": "clips"}, "FAILURE", "failed"),
        ({"until": "clips"}, "STARTED", "running"),
        ({"until": "clips"}, "QUEUED", "waiting"),
        ({"until": "quality", "gates": {"quality": [gate("audio_quality", "failed")]}}, "FAILURE", "refused"),
        ({"until": "upload", "rejected": True}, "FAILURE", "refused"),
        ({"until": "clips"}, "CANCELED", "failed"),
    ],
)
def test_the_state_of_a_package(tmp_path, made, run, state):
    package(tmp_path, "acme__first", **made)
    assert state_of(look(tmp_path)["acme__first"], last_run(run) if run else None) == state


@pytest.mark.parametrize(("later_s", "state"), [(60, "failed"), (-60, "finished")])
def test_a_finished_package_failed_if_a_run_broke_after_its_report(tmp_path, later_s, state):
    place = package(tmp_path, "acme__first")
    os.utime(place / "report", (NOW, NOW))
    assert state_of(look(tmp_path)["acme__first"], last_run("FAILURE", NOW + later_s)) == state


def test_a_zip_waits_until_its_first_stage_and_a_noted_one_does_not(tmp_path):
    arrive(tmp_path, "acme__first")
    arrive(tmp_path, "acme__bad").with_name("bad.zip.problem.txt").write_text("no")
    found = look(tmp_path)
    assert state_of(found["acme__first"], None) == "waiting"
    assert state_of(found["acme__bad"], None) == "refused"
    package(tmp_path, "acme__first", until="upload")
    assert state_of(look(tmp_path)["acme__first"], None) == "stopped"


def test_a_link_in_the_inbox_does_not_wait(tmp_path):
    first = arrive(tmp_path, "acme__first")
    first.with_name("link.zip").symlink_to(first)
    assert look(tmp_path).keys() == {"acme__first"}


def test_a_file_that_cannot_be_a_package_is_refused_once_it_is_noted(tmp_path):
    odd = arrive(tmp_path, "acme__first").with_name("홀 #1.zip")
    odd.write_bytes(b"x")
    assert look(tmp_path).keys() == {"acme__first"}
    odd.with_name("홀 #1.zip.problem.txt").write_text("no")
    assert state_of(look(tmp_path)["acme__홀 #1"], None) == "refused"


def test_a_copied_zip_has_waited_since_it_came_and_not_since_it_was_written(tmp_path):
    arrive(tmp_path, "acme__first", at=time.time() - 90 * DAY)  # as `cp -p` and `rsync -t` leave it
    assert look(tmp_path)["acme__first"].received_at == pytest.approx(time.time(), abs=DAY)


def test_a_stage_that_is_being_written_is_work_going_on_until_its_process_ends(tmp_path):
    package(tmp_path, "acme__first", until="metadata")
    packages, left = Packages(tmp_path), tmp_path / "packages" / "acme" / "first" / ".models.abcdefgh.part"
    left.mkdir()
    assert state_of(packages.look()[0], None) == "stopped"
    with stages_package.PackageFolder(tmp_path, "acme", "first").lock():
        assert state_of(packages.look()[0], None) == "running"
    assert state_of(packages.look()[0], None) == "stopped"
    with stages_package.PackageFolder(tmp_path, "acme", "first").publish("quality"):
        assert state_of(packages.look()[0], None) == "running"
    left.rmdir()
    assert state_of(packages.look()[0], None) == "stopped"


def test_a_killed_upload_of_a_zip_from_elsewhere_does_not_wait(tmp_path):
    (tmp_path / "packages" / "acme" / "first" / ".upload.abcdefgh.part").mkdir(parents=True)
    assert state_of(look(tmp_path)["acme__first"], None) == "stopped"


def test_names_that_are_no_slugs_and_stray_files_are_passed_over(tmp_path):
    package(tmp_path, "acme__first")
    (tmp_path / "packages" / "Not A Customer" / "x").mkdir(parents=True)
    (tmp_path / "packages" / "acme" / "first.dvc").write_text("x")
    arrive(tmp_path, "acme__ok").with_name("팬.zip").write_bytes(b"x")
    assert set(look(tmp_path)) == {"acme__first", "acme__ok"}


def test_the_refusal_is_that_of_the_first_stage(tmp_path):
    gates = {"scores": [gate("kpi", "failed", "late")], "metadata": [gate("contract_holds", "failed", "early")]}
    package(tmp_path, "acme__first", gates=gates)
    assert look(tmp_path)["acme__first"].refusal == "early"


def test_alarms_are_counted_and_what_was_promised_on_request(tmp_path):
    gates = {"scores": [gate("false_alarm_promise", "passed", normals=40, false_alarms=2)]}
    place = package(tmp_path, "acme__first", gates=gates)
    sections = [
        {"observed": {"normals": 30}, "promised_false_alarm_rate": 0.1},
        {"observed": {"normals": 10}, "promised_false_alarm_rate": 0.05},
        {"observed": None, "promised_false_alarm_rate": 0.5},
    ]
    (place / "scores" / "metrics.json").write_text(json.dumps({"sections": sections}))
    alarms = look(tmp_path, promises=True)["acme__first"].alarms
    assert (alarms.normals, alarms.observed, alarms.flagged, alarms.clips) == (40, 2, 3, 8)
    assert alarms.promised == pytest.approx(3.5)


def test_damaged_files_break_nothing(tmp_path):
    place = package(tmp_path, "acme__first")
    (place / "quality" / "summary.json").write_text("{broken")
    (place / "clips" / "summary.json").write_text("[]")
    (place / "upload" / "receipt.json").write_text('{"received_at": "yesterday"}')
    found = look(tmp_path)["acme__first"]
    assert state_of(found, None) == "finished"
    assert found.received_at == pytest.approx(place.stat().st_mtime)


def test_an_unchanged_package_is_not_read_again_and_a_changed_one_is(tmp_path, monkeypatch):
    place = package(tmp_path, "acme__first", until="scores")
    packages, reads = Packages(tmp_path), []
    monkeypatch.setattr(module, "read_package", lambda *given: reads.append(given[0]) or read_package(*given))
    packages.look()
    packages.look()
    assert reads == [place]
    (place / "report").mkdir()
    assert state_of(packages.look()[0], None) == "finished"
    assert reads == [place, place]


def test_a_package_without_anything_has_no_refusal():
    assert Package("acme", "x", 0.0).refusal == ""


def test_a_bucket_is_asked_and_not_the_part_of_it_that_is_here(server, tmp_path):
    bucket, root = server.bucket("watched"), tmp_path / "made"
    failed = {"quality": [gate("audio_quality", "failed", "No recording can be used.")]}
    package(root, "acme__first", received=NOW)
    package(root, "acme__bad", until="quality", gates=failed)
    arrive(root, "rival__waits")
    arrive(root, "rival__noted").with_name("noted.zip.problem.txt").write_text("no")
    for file in root.glob("inbox/*/*"):
        bucket.upload({file.relative_to(root).as_posix(): file})
    for place in root.glob("packages/*/*/*"):
        manifest = write_manifest(place, place)
        where = place.relative_to(root).as_posix()
        bucket.upload({f"{where}/{manifest.version}/{name}": place / name for name in manifest.files})
        bucket.write(f"{where}/manifest.json", manifest.encoded)
    with machine("watched", tmp_path / "cache", tmp_path / "registry.db") as mirror:
        package(mirror, "acme__gone")  # of long ago: the bucket has it no more
        packages = Packages(mirror)
        found = {item.key: item for item in packages.look()}
        states = {key: state_of(item, None) for key, item in found.items()}
        assert found["acme__first"].received_at == NOW
        assert found["acme__bad"].refusal == "No recording can be used."
        assert packages.look() == [found[key] for key in sorted(found)]
    assert states == {
        "acme__first": "finished",
        "acme__bad": "refused",
        "rival__waits": "waiting",
        "rival__noted": "refused",
    }
