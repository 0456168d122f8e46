"""A zip that was taken once without anything of it being kept, and lies there anew with the same bytes."""

import os
import time

from sensors.inbox import scan_inbox
from tests.packages import zipped


def test_it_arrives_as_another_attempt(tmp_path):
    """Dagster makes one run for one run key, and the run of the first attempt has failed."""
    path = zipped(tmp_path / "inbox/acme/first.zip", {"a.txt": b"x"})
    stamps = [time.time() - age for age in (300, 200)]
    os.utime(path, (stamps[0], stamps[0]))
    first = scan_inbox(tmp_path, {}, most=5)
    os.utime(path, (stamps[1], stamps[1]))
    again = scan_inbox(tmp_path, first.seen, most=5)
    assert [arrival.attempt for arrival in first.arrivals] == [""]
    assert [arrival.attempt for arrival in again.arrivals] == [str(path.stat().st_mtime_ns)]
    assert scan_inbox(tmp_path, again.seen, most=5).arrivals == ()


def test_so_it_does_when_it_is_looked_at_while_it_is_still_being_copied(tmp_path):
    path = zipped(tmp_path / "inbox/acme/first.zip", {"a.txt": b"x"})
    moment = path.stat().st_mtime
    first = scan_inbox(tmp_path, {}, most=5, now=moment + 60)
    os.utime(path, (moment + 100, moment + 100))
    young = scan_inbox(tmp_path, first.seen, most=5, now=moment + 100.5)
    assert young.waiting == ("acme/first.zip",)
    (again,) = scan_inbox(tmp_path, young.seen, most=5, now=moment + 160).arrivals
    assert again.attempt == str(path.stat().st_mtime_ns)
