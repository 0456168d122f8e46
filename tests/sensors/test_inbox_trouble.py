"""Uploads and receipts that cannot be read: who is told, who is held up, and what comes of them."""

import json
import os
import time

import dagster as dg
import pytest

from alp_assets.assets.workplace import Workplace
from alp_assets.errors import StoreFailed, UploadConflict
from alp_assets.stages.upload import read_receipt, upload
from alp_assets.store.disk import Disk
from sensors.inbox import UNREADABLE_LOOKS, load_cursor, save_cursor, scan_inbox
from sensors.uploads import uploads
from tests.packages import FAST, receive, zipped


@pytest.fixture
def arrive(tmp_path):
    def arrived(name, content=None, age=60.0):
        path = zipped(tmp_path / "inbox" / name, {"a.txt": content or name.encode()})
        os.utime(path, (time.time() - age,) * 2)
        return path

    return arrived


@pytest.fixture
def denied(monkeypatch):
    """The files that the server does not hand out; whoever is taken from it can be read again."""
    names = {"inbox/acme/bad.zip"}

    def fetch_file(_store, place):
        if place in names:
            raise StoreFailed(f"s3://plant: {place} cannot be read or written (Access Denied). Check the bucket.")

    monkeypatch.setattr(Disk, "fetch_file", fetch_file)
    return names


@pytest.fixture
def look(tmp_path):
    """One look after the other, each with the cursor that the one before left."""
    cursor = [""]

    def looked():
        scan = scan_inbox(tmp_path, load_cursor(cursor[0]), 20)
        cursor[0] = save_cursor(scan.seen)
        return scan

    return looked


def keys(scan):
    return [arrival.folder.key for arrival in scan.arrivals]


def damage(folder, text=""):
    (folder.path / "upload" / "receipt.json").write_text(text)


def test_one_file_that_the_server_does_not_hand_out_holds_up_nobody(arrive, denied, look):
    for name in ("acme/bad.zip", "acme/good.zip", "other/good.zip"):
        arrive(name)
    scan = look()
    assert sorted(keys(scan)) == ["acme__good", "other__good"]
    assert scan.unreadable == ("acme/bad.zip",)
    assert keys(look()) == []


def test_it_is_told_of_once_when_it_has_stayed_so(arrive, denied, look):
    arrive("acme/bad.zip")
    told = [look().complaints for _ in range(2 * UNREADABLE_LOOKS)]
    (complaint,) = (found["acme/bad.zip"] for found in told if found)
    assert told.index({"acme/bad.zip": complaint}) == UNREADABLE_LOOKS - 1
    assert "Access Denied" in complaint
    assert "send" in complaint


@pytest.mark.parametrize("looks", [1, 2 * UNREADABLE_LOOKS])
def test_it_is_taken_as_soon_as_it_can_be_read(arrive, denied, look, looks):
    arrive("acme/bad.zip")
    for _ in range(looks):
        assert keys(look()) == []
    denied.clear()
    scan = look()
    assert (keys(scan), scan.unreadable, scan.complaints) == (["acme__bad"], (), {})


def test_one_that_is_replaced_all_the_time_is_told_of_once_too(arrive, denied, look):
    told = 0
    for number in range(2 * UNREADABLE_LOOKS):
        arrive("acme/bad.zip", bytes(number + 1), age=1000.0 - number)
        told += len(look().complaints)
    assert told == 1


def tick(root, cursor=None):
    with dg.DagsterInstance.ephemeral() as instance:
        workplace = Workplace(root, {"versioned.enabled": False})
        return uploads(
            dg.build_sensor_context(instance=instance, cursor=cursor, resources={"workplace": workplace})
        )


def test_the_tick_goes_on_and_says_what_it_could_not_read(arrive, denied, tmp_path):
    bad = arrive("acme/bad.zip")
    arrive("acme/good.zip")
    result = tick(tmp_path)
    assert [request.partition_key for request in result.run_requests] == ["acme__good"]
    for _ in range(UNREADABLE_LOOKS):
        result = tick(tmp_path, result.cursor)
        assert "acme/bad.zip" in result.skip_reason.skip_message
    assert "Access Denied" in bad.with_name("bad.zip.problem.txt").read_text()


def test_a_note_that_the_server_does_not_take_stops_nobody(arrive, tmp_path, monkeypatch):
    def put_file(_store, _place, *, only_new=False):
        raise StoreFailed("s3://plant: away")

    monkeypatch.setattr(Disk, "put_file", put_file)
    monkeypatch.setenv("ALP_DATA", str(tmp_path))
    arrive("acme/Bad Name.zip")
    arrive("acme/good.zip")
    assert [request.partition_key for request in tick(tmp_path).run_requests] == ["acme__good"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null"])
def test_a_damaged_receipt_is_named_and_holds_up_nobody(arrive, look, tmp_path, text):
    damage(receive(tmp_path, zipped(tmp_path / "old.zip", {"a": b"old"}), package="old"), text)
    receive(tmp_path, arrive("acme/twice.zip"), package="kept")
    arrive("acme/new.zip")
    scan = look()
    assert keys(scan) == ["acme__new"]
    assert "package kept" in scan.complaints["acme/twice.zip"]
    assert "packages/acme/old/upload/receipt.json" in scan.complaints["acme/old.zip"]
    assert "again as old.zip" in scan.complaints["acme/old.zip"]


def test_it_is_told_of_again_only_when_something_new_arrives(arrive, look, tmp_path):
    damage(receive(tmp_path, zipped(tmp_path / "old.zip", {"a": b"old"}), package="old"))
    arrive("acme/new.zip")
    assert look().complaints
    assert not look().complaints
    arrive("acme/more.zip")
    assert look().complaints


def test_the_same_zip_under_the_same_name_is_taken_again_and_mends_it(arrive, look, tmp_path):
    """As another attempt: Dagster makes one run for one run key, and the package's first run had it."""
    path = arrive("acme/old.zip")
    (before,) = look().arrivals
    folder = receive(tmp_path, path, package="old")
    damage(folder)
    path.rename(tmp_path / "sent-again.zip")
    look()
    (tmp_path / "sent-again.zip").rename(path)
    scan = look()
    (again,) = scan.arrivals
    assert (again.folder, again.sha256, scan.complaints) == (folder, before.sha256, {})
    assert again.attempt
    upload(again.folder, FAST)
    assert read_receipt(folder)["sha256"] == before.sha256


def test_another_zip_under_the_same_name_overwrites_nothing(arrive, look, tmp_path):
    folder = receive(tmp_path, zipped(tmp_path / "old.zip", {"a": b"old"}), package="old")
    damage(folder)
    kept = (folder.path / "upload" / "package.zip").read_bytes()
    arrive("acme/old.zip", b"other")
    assert keys(look()) == ["acme__old"]
    with pytest.raises(UploadConflict):
        upload(folder, FAST)
    assert (folder.path / "upload" / "package.zip").read_bytes() == kept


def test_an_older_cursor_is_understood(arrive, look, tmp_path):
    path = arrive("acme/first.zip")
    scan = look()
    status = path.stat()
    known = {"size": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": scan.arrivals[0].sha256}
    assert load_cursor(json.dumps({"acme/first.zip": known})) == scan.seen
