"""Looking at the inbox."""

import os
import time
from pathlib import Path

import pytest

from sensors.inbox import INCOMPLETE_S, load_cursor, save_cursor, scan_inbox
from tests.packages import machine_package, receive, zipped

OLD = 60.0


def arrive(root: Path, name: str, *, content: bytes = b"x", age: float = OLD) -> Path:
    path = zipped(root / "inbox" / name, {"a.txt": content})
    stamp = time.time() - age
    os.utime(path, (stamp, stamp))
    return path


def look(root: Path, seen=None, *, most: int = 20, now: float | None = None):
    return scan_inbox(root, seen or {}, most, now)


def keys(scan) -> list[str]:
    return [arrival.folder.key for arrival in scan.arrivals]


def test_a_zip_that_has_settled_arrives_once(tmp_path):
    arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    assert keys(scan) == ["acme__first"]
    assert keys(look(tmp_path, scan.seen)) == []


def test_a_file_that_still_grows_is_waited_for(tmp_path):
    path = arrive(tmp_path, "acme/first.zip", age=0.0)
    scan = look(tmp_path)
    assert keys(scan) == []
    assert scan.waiting == ("acme/first.zip",)
    assert keys(look(tmp_path, scan.seen, now=path.stat().st_mtime + 10)) == ["acme__first"]


def test_half_a_zip_is_waited_for_and_in_the_end_passed_on_to_be_refused(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    path.write_bytes(path.read_bytes()[:30])
    stamp = time.time() - OLD
    os.utime(path, (stamp, stamp))
    scan = look(tmp_path)
    assert keys(scan) == []
    again = look(tmp_path, scan.seen)
    assert keys(again) == []
    assert keys(look(tmp_path, again.seen, now=time.time() + INCOMPLETE_S)) == ["acme__first"]


def test_a_rename_is_no_second_package(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    receive(tmp_path, path, package="first")
    path.rename(path.with_name("renamed.zip"))
    again = look(tmp_path, scan.seen)
    assert keys(again) == []
    assert "package first" in again.complaints["acme/renamed.zip"]


def test_a_rename_before_the_upload_was_kept_still_arrives(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    path.rename(path.with_name("renamed.zip"))
    assert keys(look(tmp_path, scan.seen)) == ["acme__renamed"]


def test_the_same_bytes_twice_at_once_are_one_package(tmp_path):
    arrive(tmp_path, "acme/a.zip")
    (tmp_path / "inbox/acme/b.zip").write_bytes((tmp_path / "inbox/acme/a.zip").read_bytes())
    stamp = time.time() - OLD
    os.utime(tmp_path / "inbox/acme/b.zip", (stamp, stamp))
    scan = look(tmp_path)
    assert len(scan.arrivals) == 1
    assert len(scan.complaints) == 1


def test_two_customers_may_send_the_same_bytes(tmp_path):
    arrive(tmp_path, "acme/a.zip")
    arrive(tmp_path, "globex/a.zip")
    assert sorted(keys(look(tmp_path))) == ["acme__a", "globex__a"]


def test_other_bytes_under_the_same_name_are_asked_for_so_that_the_refusal_is_seen(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    receive(tmp_path, path)
    arrive(tmp_path, "acme/first.zip", content=b"other", age=30)
    again = look(tmp_path, scan.seen)
    assert keys(again) == ["acme__first"]
    assert again.arrivals[0].sha256 != scan.arrivals[0].sha256


@pytest.mark.parametrize("name", ["acme/Pump Hall.zip", "acme/팬.zip", "ACME/a.zip", "a.zip", "acme/deep/a.zip"])
def test_names_that_cannot_be_slugs_are_reported_once(tmp_path, name):
    arrive(tmp_path, name)
    scan = look(tmp_path)
    assert keys(scan) == []
    assert list(scan.complaints) == [name]
    assert look(tmp_path, scan.seen).complaints == {}


def test_hidden_and_other_files_are_no_uploads(tmp_path):
    arrive(tmp_path, "acme/.hidden.zip")
    arrive(tmp_path, "acme/first.zip.part")
    scan = look(tmp_path)
    assert (keys(scan), scan.complaints) == ([], {})


@pytest.mark.parametrize("name", ["acme/first.ZIP", "acme/first.Zip"])
def test_an_ending_in_capitals_is_asked_to_be_renamed_and_then_taken(tmp_path, name):
    """The run opens the file by the package's name, and may meet another one there."""
    path = arrive(tmp_path, name)
    scan = look(tmp_path)
    assert keys(scan) == []
    assert "first.zip" in scan.complaints[name]
    assert look(tmp_path, scan.seen).complaints == {}
    path.rename(path.with_name("first.zip"))
    assert keys(look(tmp_path, scan.seen)) == ["acme__first"]


def test_ten_at_once_and_more_than_fit(tmp_path):
    for number in range(10):
        arrive(tmp_path, f"acme/p{number}.zip", content=bytes([number]))
    first = look(tmp_path, most=7)
    second = look(tmp_path, first.seen, most=7)
    assert sorted(keys(first) + keys(second)) == [f"acme__p{number}" for number in range(10)]


def test_the_cursor_survives_a_restart_and_nonsense(tmp_path):
    arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    assert load_cursor(save_cursor(scan.seen)) == scan.seen
    assert load_cursor("no json") == {}
    assert load_cursor(None) == {}
    assert load_cursor('{"a": 3}') == {}


def test_putting_a_file_there_again_retries_a_package_that_never_got_through(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    scan = look(tmp_path)
    folder = receive(tmp_path, path)
    os.utime(path, (time.time() - 30,) * 2)
    again = look(tmp_path, scan.seen)
    assert keys(again) == ["acme__first"]
    assert again.arrivals[0].attempt
    folder.stage("report").mkdir()
    os.utime(path, (time.time() - 20,) * 2)
    assert keys(look(tmp_path, again.seen)) == []


def test_a_customer_with_many_files_does_not_hold_up_one_who_comes_later(tmp_path):
    for number in range(30):
        arrive(tmp_path, f"acme/p{number:02d}.zip", content=bytes([number]), age=1000 - number)
    arrive(tmp_path, "late/first.zip", content=b"late")
    scan = look(tmp_path, most=5)
    assert keys(scan) == ["acme__p00", "late__first", "acme__p01", "acme__p02", "acme__p03"]
    assert keys(look(tmp_path, scan.seen, most=2)) == ["acme__p04", "acme__p05"]


def test_only_receipts_of_customers_who_sent_something_are_read(tmp_path):
    path = arrive(tmp_path, "acme/first.zip")
    receive(tmp_path, path)
    other = tmp_path / "packages/other/broken/upload/receipt.json"
    other.parent.mkdir(parents=True)
    other.write_text("no receipt")
    scan = look(tmp_path)
    assert (keys(scan), scan.complaints) == (["acme__first"], {})


def test_one_entry_that_cannot_be_read_holds_up_nobody(tmp_path):
    """A link that leads in a circle."""
    inbox = tmp_path / "inbox"
    machine_package(inbox / "acme" / "good.zip", train=2, normal=1, anomaly=0)
    (inbox / "acme" / "round.zip").symlink_to("round.zip")
    assert keys(look(tmp_path, now=time.time() + 60)) == ["acme__good"]
