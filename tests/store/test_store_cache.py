"""The bounded part of a bucket that a machine keeps."""

import os
import subprocess
import sys
import time

import pytest

from alp_assets.errors import AlpError
from alp_assets.store.cache import Cache, limit_bytes

HOLD = """
import sys
from pathlib import Path
from alp_assets.store.cache import Cache
cache = Cache(Path(sys.argv[1]), 0, 0.0)
cache.pin()
cache.used("packages/a/b/clips", 100)
print("held", flush=True)
sys.stdin.read()
"""


def fill(cache, root, name, *, age_s=0.0, size=100):
    place = f"packages/a/{name}/clips"
    (root / place).mkdir(parents=True)
    (root / place / "x.wav").write_bytes(b"x" * size)
    cache.used(place, size)
    age(root, place, age_s)
    return root / place


def age(root, place, age_s):
    moment = time.time() - age_s
    os.utime(root / ".kept" / place.replace("/", "%2F"), (moment, moment))


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = Cache(tmp_path, 250, grace_s=60)
    folders = [
        fill(cache, tmp_path, name, age_s=seconds) for name, seconds in (("b", 300), ("c", 900), ("d", 600))
    ]
    cache.make_room()
    assert [folder.exists() for folder in folders] == [True, False, True]
    assert len(list((tmp_path / ".kept").iterdir())) == 2


def test_within_the_limit_nothing_goes(tmp_path):
    cache = Cache(tmp_path, 300, grace_s=0)
    folders = [fill(cache, tmp_path, name, age_s=100) for name in "bcd"]
    cache.make_room()
    assert all(folder.exists() for folder in folders)


def test_what_was_used_lately_or_is_pinned_stays_whatever_the_limit(tmp_path):
    cache = Cache(tmp_path, 0, grace_s=60)
    fresh = fill(cache, tmp_path, "b")
    cache.pin()
    pinned = fill(cache, tmp_path, "c", age_s=3600)
    cache.make_room()
    assert fresh.exists()
    assert pinned.exists()
    cache.unpin()
    cache.make_room()
    assert not pinned.exists()


def test_what_another_process_uses_stays_until_that_ends(tmp_path):
    cache = Cache(tmp_path, 0, grace_s=0.0)
    folder = fill(cache, tmp_path, "b")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        age(tmp_path, "packages/a/b/clips", 3600)
        cache.make_room()
        assert folder.exists()
        other.kill()
    cache.make_room()
    assert not folder.exists()


def test_of_those_who_use_it_others_count_and_this_process_does_not(tmp_path):
    mine, others = Cache(tmp_path, 0, grace_s=0.0), Cache(tmp_path, 0, grace_s=0.0)
    place = "packages/a/b/clips"
    folder = fill(mine, tmp_path, "b")
    assert not mine.used_elsewhere(place)
    mine.pin()
    mine.used(place, 100)
    assert (mine.used_elsewhere(place), others.used_elsewhere(place)) == (False, True)
    others.pin()
    others.used(place, 100)
    assert mine.used_elsewhere(place)
    others.unpin()
    assert not mine.used_elsewhere(place)
    age(tmp_path, place, 3600)
    others.make_room()
    assert folder.exists(), "who asks goes on using it"


def test_what_is_being_fetched_is_passed_over(tmp_path):
    cache = Cache(tmp_path, 0, grace_s=0)
    busy, free = (fill(cache, tmp_path, name, age_s=10) for name in "bc")
    with cache.alone("packages/a/b/clips"):
        assert cache.make_room() == ["packages/a/c/clips"]
    assert (busy.exists(), free.exists()) == (True, False)


def test_what_killed_processes_left_goes_with_time(tmp_path):
    cache = Cache(tmp_path, 0, grace_s=0)
    old, new = (tmp_path / "packages" / "a" / "b" / f".clips.{name}.part" for name in ("old", "new"))
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (0, 0))
    fill(cache, tmp_path, "c", age_s=10)
    cache.make_room()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_single_file_goes_as_a_folder_does(tmp_path):
    cache = Cache(tmp_path, 0, grace_s=0)
    place = "inbox/a/b.zip"
    (tmp_path / "inbox" / "a").mkdir(parents=True)
    (tmp_path / place).write_bytes(b"zip")
    cache.used(place, 3)
    age(tmp_path, "inbox%2Fa%2Fb%2Ezip", 10)
    cache.make_room()
    assert not (tmp_path / place).exists()


def test_the_limit_is_a_number_of_gigabytes(monkeypatch):
    assert limit_bytes() == 50_000_000_000
    monkeypatch.setenv("ALP_CACHE_GB", "0.5")
    assert limit_bytes() == 500_000_000
    for wrong in ("-1", "much", "inf", "nan"):
        monkeypatch.setenv("ALP_CACHE_GB", wrong)
        with pytest.raises(AlpError, match="ALP_CACHE_GB"):
            limit_bytes()
