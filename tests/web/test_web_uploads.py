"""Packages on their way in, and what is told of those that have arrived."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from alp_assets.params import with_overrides
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.rejection import reject
from alp_assets.web.runs import Run
from alp_assets.web.uploads import package_name
from alp_assets.web.views.packages import stage_states, state_of
from tests.packages import machine_files, machine_package, receive, run_through, table, zipped
from tests.web.conftest import QUICK, caller, server

PIECE = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
ZIP = {"Content-Type": "application/zip"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return machine_package(tmp_path_factory.mktemp("zip") / "p.zip", train=3, normal=1, anomaly=0).read_bytes()


def begin(call, size, package="second"):
    made = call.post("/uploads", json={"package": package, "filename": "p.zip", "bytes": size})
    assert made.status_code == 201, made.text
    return f"/uploads/{made.json()['id']}"


def test_an_upload_goes_on_where_it_broke_off_is_checked_and_sent(client, data_root, archive):
    call = client("operator")
    named = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in (("package", "second"), ("filename", "f.zip"))
    )
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(archive)), "Upload-Metadata": named}
    made = call.post("/uploads", headers=headers)
    assert (made.status_code, made.headers["upload-offset"]) == (201, "0")
    place = made.headers["location"].removeprefix("/api/v1")
    half = len(archive) // 2
    assert call.patch(place, content=archive[:half], headers={**PIECE, "Upload-Offset": "0"}).status_code == 204
    wrong = call.patch(place, content=archive[half:], headers={**PIECE, "Upload-Offset": "0"})
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, str(half))
    assert call.head(place).headers["upload-offset"] == str(half)
    assert call.post(f"{place}/check").status_code == 409
    call.patch(place, content=archive[half:], headers={**PIECE, "Upload-Offset": str(half)})
    assert call.get(place).json()["complete"]
    assert call.post(f"{place}/publish", json={}).json()["type"].endswith("check-first")
    check = call.post(f"{place}/check?wait=30").json()
    while check["state"] == "running":
        check = call.get(f"{place}/check?wait=30").json()
    assert (check["state"], check["verdict"]) == ("done", "problems" if check["serious"] else "ok")
    assert check["recordings"] == {"sent": 4, "usable": 4}
    assert check["sections"][0]["texts"]["ko"]["state"]
    assert not PackageFolder(data_root, "acme", "second").inbox.exists()
    assert call.post(f"{place}/publish", json={}).status_code == 201
    assert PackageFolder(data_root, "acme", "second").inbox.read_bytes() == archive
    assert call.get(place).status_code == 404
    assert list((data_root / "web" / "uploads").iterdir()) == []
    (waiting,) = [item for item in call.get("/packages").json()["packages"] if item["package"] == "second"]
    assert waiting["state"] == "waiting"


def test_a_package_that_would_be_refused_is_not_sent_by_mistake(client, tmp_path):
    files, _ = machine_files(train=2, normal=0, anomaly=0)
    bad = zipped(tmp_path / "bad.zip", files).read_bytes()
    call = client("operator")
    place = begin(call, len(bad))
    call.patch(place, content=bad, headers={**PIECE, "Upload-Offset": "0"})
    check = call.post(f"{place}/check?wait=30").json()
    while check["state"] == "running":
        check = call.get(f"{place}/check?wait=30").json()
    assert check["verdict"] == "refused"
    assert all(check["reasons"][language] for language in ("en", "ko"))
    assert call.post(f"{place}/publish", json={}).status_code == 409
    assert call.post(f"{place}/publish", json={"anyway": True}).status_code == 201


def test_bytes_are_neither_too_many_nor_overwritten(client, data_root):
    call = client("operator")
    place = begin(call, 4)
    assert call.patch(place, content=b"12345", headers={**PIECE, "Upload-Offset": "0"}).status_code == 413
    assert call.post("/uploads", json={"package": "first", "bytes": 4}).status_code == 409
    assert call.post("/uploads", json={"package": "../x", "bytes": 4}).status_code == 422
    assert call.post("/uploads", json={"package": "x", "bytes": 0}).status_code == 422
    assert call.post("/uploads", json={"package": "x", "bytes": "5"}).status_code == 422
    assert call.post(f"{place}/publish", json={"anyway": "yes"}).status_code == 422
    assert call.post("/uploads", json={"package": "x", "bytes": 10**15}).status_code == 413
    assert call.patch(place, content=b"1", headers={**PIECE, "Tus-Resumable": "0.2"}).status_code == 412
    assert call.delete(place).status_code == 204
    assert call.head(place).status_code == 404
    assert call.options("/uploads").headers["tus-extension"] == "creation,expiration,termination"


def test_uploads_that_were_given_up_are_deleted(client, app, data_root):
    place = begin(client("operator"), 4)
    info = data_root / "web" / "uploads" / place.rpartition("/")[2] / "info.json"
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    info.write_text(json.dumps({**json.loads(info.read_text()), "expires_at": old}))
    assert client("operator").get(place).status_code == 404
    assert app.state.services.uploads.expire() == 1
    assert not info.exists()


def test_a_customer_can_have_only_so_many(data_root, keys):
    app = server(data_root, with_overrides(QUICK, {"web.uploads_open": 2}))
    call = caller(app, keys)("operator")
    for number in range(2):
        begin(call, 4, f"p{number}")
    assert call.post("/uploads", json={"package": "p3", "bytes": 4}).status_code == 409


def test_a_package_can_be_sent_whole(client, data_root, archive):
    call = client("operator")
    assert call.post("/packages?package=whole", content=archive, headers=ZIP).status_code == 201
    assert PackageFolder(data_root, "acme", "whole").inbox.read_bytes() == archive
    assert call.post("/packages?package=whole", content=archive, headers=ZIP).status_code == 409
    refused = call.post("/packages?package=bad", content=archive[:-100], headers=ZIP)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["texts"]["ko"]["problem"]
    assert not PackageFolder(data_root, "acme", "bad").inbox.exists()
    assert (
        call.post("/packages?package=bad", content=b"x", headers={"Content-Type": "text/html"}).status_code == 415
    )
    assert list((data_root / "web" / "uploads").iterdir()) == []


def test_a_package_sent_whole_does_not_wait_for_checks_of_others(client, app, archive, monkeypatch):
    monkeypatch.setattr(app.state.services.desk.checks, "submit", lambda _: 1 / 0)
    place = "/packages?package=quick"
    assert client("operator").post(place, content=archive, headers=ZIP).status_code == 201


def test_names_of_files_become_names_of_packages():
    assert package_name("Pump 2026_10.ZIP") == "pump-2026-10"
    assert package_name("펌프.zip") == ""


def test_a_finished_package_shows_its_stages_clips_and_report(client):
    call = client("viewer")
    told = call.get("/packages/acme/first").json()
    assert told["state"] == "finished"
    assert [item["state"] for item in told["stages"]] == ["done"] * 8
    assert told["sections"][0]["state"] == "scored"
    assert told["run"] is None
    page = call.get("/packages/acme/first/report")
    assert "Report for acme" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox")
    assert page.headers["content-disposition"].startswith("inline")
    saved = call.get("/packages/acme/first/report?download=1")
    assert saved.headers["content-disposition"].startswith("attachment")
    rows = call.get("/packages/acme/first/clips?section=acme/fan/1&limit=2").json()
    assert rows["total"] == 12
    assert len(rows["clips"]) == 2
    assert rows["clips"][0]["score"] >= rows["clips"][1]["score"]
    sound = call.get(rows["clips"][0]["links"]["audio"].removeprefix("/api/v1"))
    assert (sound.headers["content-type"], sound.content[:4]) == ("audio/wav", b"RIFF")


def test_a_refused_package_shows_why_and_its_letter(client, data_root, tmp_path):
    files, _ = machine_files(train=2, normal=0, anomaly=0)
    bad = {**files, "metadata.csv": table([{"relative_path": "nothing.wav"}])}
    folder = receive(data_root, zipped(tmp_path / "bad.zip", bad), package="bad")
    run_through(folder, params=QUICK)
    reject(folder)
    call = client("viewer")
    told = call.get("/packages/acme/bad").json()
    assert told["state"] == "refused"
    assert "refused" in [item["state"] for item in told["stages"]]
    assert told["stages"][-1]["state"] == "skipped"
    assert told["reasons"]["ko"]
    assert told["problems"]
    assert call.get("/packages/acme/bad/letter?lang=ko").status_code == 200
    assert call.get("/packages/acme/bad/problems.csv").headers["content-type"].startswith("text/csv")


def test_runs_tell_what_folders_cannot(data_root):
    folder = PackageFolder(data_root, "acme", "first")
    assert state_of(folder, run("QUEUED")) == "waiting"
    assert state_of(folder, run("STARTED")) == "running"
    assert state_of(folder, run("SUCCESS")) == "finished"
    new = PackageFolder(data_root, "acme", "new")
    assert state_of(new, None) == "waiting"
    new.stage("upload").mkdir(parents=True)
    assert state_of(new, run("FAILURE")) == "failed"
    assert state_of(new, None) == "stopped"
    (new.path / ".clips.abcdefgh.part").mkdir()
    assert state_of(new, None) == "stopped", "whoever wrote it was killed"
    with new.lock():
        assert state_of(new, None) == "running"
    assert "running" in [item["state"] for item in stage_states(new, "running")]


def test_a_finished_package_whose_last_run_failed_has_failed(data_root):
    folder = PackageFolder(data_root, "acme", "first")
    made = folder.stage("report").stat().st_mtime
    assert state_of(folder, run("FAILURE", ended=made + 60)) == "failed"
    assert state_of(folder, run("FAILURE", ended=made - 60)) == "finished", "the report was made again meanwhile"


def run(status: str, ended: float = 0.0) -> Run:
    return Run("r", "acme__first", status, 0.0, ended)


def test_progress_comes_as_events_and_ends(client, app):
    with client("viewer").stream("GET", "/packages/acme/first/events") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in lines if line.startswith("event")] == ["event: state", "event: end"]
    assert json.loads(lines[-1].removeprefix("data: ")) == {"state": "finished"}
    assert app.state.services.open_streams == 0
    app.state.services.open_streams = 50
    assert client("viewer").get("/packages/acme/first/events").status_code == 503
