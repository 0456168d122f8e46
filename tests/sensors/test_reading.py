"""Reading that takes longer than a look: it goes on, and holds up no other customer."""

import os
import threading
import time

import pytest

from sensors import inbox
from sensors.inbox import load_cursor, save_cursor, scan_inbox
from sensors.reading import MOST, Reader, StillReading
from tests.packages import zipped


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def test_what_takes_long_goes_on_and_is_had_later(gate):
    reader, begun = Reader(), []

    def work():
        begun.append(1)
        assert gate.wait(60)
        return "read"

    for _ in range(2):
        with pytest.raises(StillReading):
            reader.read("acme", "a", work, 0.01)
    assert reader.read("other", "b", lambda: "at once", 60) == "at once"
    with pytest.raises(StillReading):
        reader.read("acme", "another file", lambda: "never begun", 0.01)
    gate.set()
    assert reader.read("acme", "a", work, 60) == "read"
    assert begun == [1]
    assert reader.read("acme", "another file", lambda: "now", 60) == "now"


def test_two_who_ask_at_once_share_what_is_read(gate):
    reader, had = Reader(), []

    def work():
        assert gate.wait(60)
        return "read"

    asking = [threading.Thread(target=lambda: had.append(reader.read("acme", "a", work, 60))) for _ in range(4)]
    for thread in asking:
        thread.start()
    gate.set()
    for thread in asking:
        thread.join(60)
    assert had == ["read"] * 4


def test_what_it_raises_comes_to_who_asks_and_is_tried_anew(gate):
    reader = Reader()

    def work():
        raise OSError("cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        reader.read("acme", "a", work, 60)
    assert reader.read("acme", "a", lambda: "well", 60) == "well"


def test_no_more_is_begun_than_there_are_threads(gate):
    reader = Reader()
    for number in range(MOST + 1):
        with pytest.raises(StillReading):
            reader.read(f"customer-{number}", "a", lambda: gate.wait(60), 0.01)
    gate.set()
    assert all(reader.read(f"customer-{number}", "a", lambda: True, 60) for number in range(MOST + 1))


def test_an_upload_that_takes_longer_to_read_than_a_look_holds_up_nobody(tmp_path, monkeypatch, gate):
    for name in ("acme/huge.zip", "acme/next.zip", "other/small.zip"):
        path = zipped(tmp_path / "inbox" / name, {"a.txt": name.encode()})
        os.utime(path, (time.time() - 60,) * 2)
    real = inbox.sha256_of

    def slow(path):
        assert path.name != "huge.zip" or gate.wait(60)
        return real(path)

    monkeypatch.setattr(inbox, "sha256_of", slow)
    monkeypatch.setattr(inbox, "PATIENCE_S", 0.2)
    first = scan_inbox(tmp_path, {}, 20)
    assert [arrival.folder.key for arrival in first.arrivals] == ["other__small"]
    assert "acme/huge.zip" in first.waiting
    gate.set()
    monkeypatch.setattr(inbox, "PATIENCE_S", 60.0)
    second = scan_inbox(tmp_path, load_cursor(save_cursor(first.seen)), 20)
    assert {arrival.folder.key for arrival in second.arrivals} == {"acme__huge", "acme__next"}
    assert not second.waiting
