"""Folders in a bucket: old or new, never half; proven; fetched once."""

import json
import os
import shutil
import threading
from contextlib import contextmanager, nullcontext

import pytest

from alp_assets.errors import AlpError, PackageBusy, StoreFailed
from alp_assets.files import replaced_folder
from alp_assets.home import data_root
from alp_assets.store.base import store_of
from alp_assets.store.manifest import FolderDamaged, write_manifest
from alp_assets.store.mirror import Mirror
from tests.packages import tree
from tests.store.buckets import machine

PLACE = "packages/acme/first/clips"
COUNT = iter(range(1000))


@pytest.fixture
def bucket(server):
    return server.bucket(f"mirror-{next(COUNT)}")


@pytest.fixture
def on(bucket, tmp_path):
    """A machine's view of the bucket."""

    @contextmanager
    def machine_named(name, **more):
        with machine(bucket.url.split("/")[2], tmp_path / name, tmp_path / "registry.db", **more) as root:
            yield root, store_of(root)

    return machine_named


def publish(root, store, files, place=PLACE):
    with replaced_folder(root / place) as part:
        for name, data in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(data)
        write_manifest(part, root / place)
        store.publish(place, part)


def contents(root, place=PLACE):
    return {
        path.relative_to(root / place).as_posix(): path.read_bytes()
        for path in (root / place).rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


ONE = {"clips.parquet": b"table one", "audio/1.wav": b"1" * 1000, "audio/2.wav": b"2" * 1000}
TWO = {"clips.parquet": b"table two", "audio/1.wav": b"9" * 1000}


def test_what_one_machine_publishes_another_reads(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
        assert contents(root) == ONE
    with on("b") as (root, store):
        assert store.has(PLACE)
        assert store.below("packages") == ["acme"]
        assert store.below("packages/acme/first") == ["clips"]
        store.fetch(PLACE, "clips.parquet", "no such file")
        assert contents(root) == {"clips.parquet": b"table one"}
        store.fetch(PLACE)
        assert contents(root) == ONE
        assert not store.has("packages/acme/first/scores")


def test_another_version_takes_the_whole_place_and_leaves_nothing_of_the_old(on, bucket):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        store.fetch(PLACE)
        publish(root, store, TWO)
    with on("a") as (root, store):
        store.fetch(PLACE)
        assert contents(root) == TWO
    assert len(bucket.listed(PLACE)) == 3, "two files and the manifest"


def test_killed_before_the_manifest_the_old_version_is_read_and_the_next_cleans_up(on, bucket, monkeypatch):
    with on("a") as (root, store):
        publish(root, store, ONE)

    class Killed(BaseException):
        pass

    def die(key, data, **how):
        raise Killed

    with on("b") as (root, store), monkeypatch.context() as patch:
        patch.setattr(store._bucket, "write", die)
        with pytest.raises(Killed):
            publish(root, store, TWO)
    assert len(bucket.listed(PLACE)) == 6, "the files of both are there"
    for name in ("c", "b"):
        with on(name) as (root, store):
            store.fetch(PLACE)
            assert contents(root) == ONE
    with on("b") as (root, store):
        publish(root, store, TWO)
    assert len(bucket.listed(PLACE)) == 3


def test_a_reader_whose_version_is_deleted_meanwhile_reads_the_next(on, monkeypatch):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        real = store._bucket.download

        def replaced_first(files):
            monkeypatch.setattr(store._bucket, "download", real)
            with on("a") as (other, others):
                publish(other, others, TWO)
            real(files)

        monkeypatch.setattr(store._bucket, "download", replaced_first)
        store.fetch(PLACE)
        assert contents(root) == TWO


def test_a_block_sees_one_version(on, monkeypatch):
    with on("a") as (root, store):
        publish(root, store, ONE)
        monkeypatch.setattr("alp_assets.store.mirror._FRESH_S", 0.0)
        with on("b") as (mine, my_store), my_store.using():
            my_store.fetch(PLACE, "clips.parquet")
            publish(root, store, TWO)
            my_store.fetch(PLACE, "clips.parquet")
            assert contents(mine) == {"clips.parquet": b"table one"}
        my_store.fetch(PLACE)
        assert contents(mine) == TWO


def test_the_version_that_one_process_reads_no_other_on_its_machine_replaces(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (mine, my_store):
        other = Mirror(mine, my_store._bucket.url)
        with my_store.using():
            my_store.fetch(PLACE)
            with on("a") as (root, store):
                publish(root, store, TWO)
            with pytest.raises(PackageBusy, match="Try again when it has ended"):
                other.fetch(PLACE)
            assert contents(mine) == ONE
        other.fetch(PLACE)
        assert contents(mine) == TWO


@pytest.mark.parametrize("block", [False, True], ids=["for a moment", "for its block"])
def test_who_remembers_no_folder_does_not_delete_what_another_process_published_meanwhile(on, block):
    with on("a") as (root, store):
        other = Mirror(root, store._bucket.url)
        with other.using() if block else nullcontext():
            other.fetch(PLACE, "clips.parquet")
            assert not (root / PLACE).exists()
            with store.using():
                publish(root, store, ONE)
                other.fetch(PLACE, "clips.parquet")
                assert contents(root) == ONE
                store.fetch(PLACE)


@pytest.mark.parametrize("seen", ["clips.parquet", "no such file"])
def test_who_remembers_the_version_before_leaves_what_another_process_published_meanwhile(on, monkeypatch, seen):
    with on("a") as (root, store):
        other = Mirror(root, store._bucket.url)
        publish(root, store, ONE)
        other.fetch(PLACE, seen)
        monkeypatch.setattr(store._bucket, "delete", lambda keys: None)  # it has not come to that yet
        with store.using():
            publish(root, store, TWO)
            other.fetch(PLACE, "audio/1.wav")
            assert contents(root) == TWO


def test_a_folder_that_a_run_reads_stays_when_it_goes_from_the_bucket_and_others_are_told(on, bucket):
    with on("a") as (root, store):
        publish(root, store, ONE)
        other = Mirror(root, store._bucket.url)
        with store.using():
            store.fetch(PLACE)
            bucket.delete(list(bucket.listed(PLACE)))
            with pytest.raises(PackageBusy, match="Try again when it has ended"):
                other.fetch(PLACE)
            assert contents(root) == ONE
        other.fetch(PLACE)
        assert not (root / PLACE).exists()


def test_what_a_run_published_and_somebody_deleted_here_it_fetches_again(on):
    with on("a") as (root, store), store.using():
        publish(root, store, ONE)
        shutil.rmtree(root / PLACE)
        store.fetch(PLACE)
        assert contents(root) == ONE


def test_the_version_that_a_run_reads_no_other_process_of_its_machine_publishes_over(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
        other = Mirror(root, store._bucket.url)
        with store.using():
            store.fetch(PLACE, "clips.parquet")
            with other.using():
                other.fetch(PLACE)
                with pytest.raises(PackageBusy, match="Try again when it has ended"):
                    publish(root, other, TWO)
            store.fetch(PLACE)
            assert contents(root) == ONE
            publish(root, other, ONE)
        publish(root, other, TWO)
    with on("b") as (root, store):
        store.fetch(PLACE)
        assert contents(root) == TWO


def test_a_package_of_which_a_run_reads_something_no_other_process_of_its_machine_removes(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
        other = Mirror(root, store._bucket.url)
        with store.using():
            store.fetch(PLACE, "clips.parquet")
            with pytest.raises(PackageBusy, match=f"{PLACE}: .*Try again when it has ended"):
                other.remove("packages/acme/first")
            other.remove("packages/acme/fir")
            assert store.has(PLACE)
            store.fetch(PLACE)
        other.remove("packages/acme/first")
        assert not store.has(PLACE)


def test_what_a_run_has_read_it_may_publish_anew(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
        with store.using():
            store.fetch(PLACE)
            publish(root, store, TWO)
            store.fetch(PLACE)
            assert contents(root) == TWO


def test_of_two_machines_on_one_package_one_works_and_the_other_is_told(on, bucket):
    package = "packages/acme/first"
    with on("a") as (_, first), on("b") as (_, second):
        first._lease_s = second._lease_s = 2.0
        with first.lock(package, "busy with it"):
            with pytest.raises(PackageBusy, match="busy with it"), second.lock(package, "busy with it"):
                pytest.fail("both work")
            with second.lock("packages/acme/other", "busy"):
                assert len(bucket.listed("locks")) == 2
        with second.lock(package, "busy with it"):
            assert list(bucket.listed("locks")) == ["locks/acme__first.json"]


@pytest.mark.parametrize(
    ("ignored", "named"),
    [
        (["IfNoneMatch"], "If-None-Match"),
        (["IfMatch"], "If-Match"),
        (["IfNoneMatch", "IfMatch"], "If-None-Match and If-Match"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_that_does_not_keep_a_condition_cannot_lock_and_it_is_named(on, monkeypatch, ignored, named):
    with on("a") as (_, store):
        real = store._bucket._fs.call_s3

        def ignoring(method, *given, **more):
            return real(method, *given, **{name: value for name, value in more.items() if name not in ignored})

        monkeypatch.setattr(store._bucket._fs, "call_s3", ignoring)
        told = pytest.raises(StoreFailed, match=f"the server does not keep {named} on PUT")
        with told, store.lock("packages/acme/first", "busy"):
            pytest.fail("locked")
        assert not store._bucket.listed("locks")


def test_who_lost_its_lock_publishes_nothing(on, bucket):
    with on("a") as (root, store):
        publish(root, store, ONE)
        with store.lock("packages/acme/first", "busy"):
            bucket.write("locks/acme__first.json", b"another one took it over")
            with pytest.raises(PackageBusy, match="not published"):
                publish(root, store, TWO)
    assert bucket.read("locks/acme__first.json").data == b"another one took it over"
    with on("b") as (root, store):
        store.fetch(PLACE)
        assert contents(root) == ONE


@pytest.mark.parametrize("how", ["flip", "cut", "delete"])
def test_a_damaged_object_is_named_and_mended_by_publishing_again(on, bucket, how):
    with on("a") as (root, store):
        publish(root, store, ONE)
    (key,) = (key for key in bucket.listed(PLACE) if key.endswith("2.wav"))
    if how == "delete":
        bucket.delete([key])
    else:
        bucket.write(key, b"2" * 999 + b"3" if how == "flip" else b"2")
    with on("b") as (root, store):
        store.fetch(PLACE, "audio/1.wav")
        with pytest.raises(FolderDamaged, match=PLACE + ": .*" + ("gone" if how == "delete" else "2.wav has")):
            store.fetch(PLACE)
        assert "audio/2.wav" not in contents(root)
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        store.fetch(PLACE)
        assert contents(root) == ONE


def test_a_damaged_copy_is_fetched_again_and_what_does_not_belong_goes(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        store.fetch(PLACE)
    (root / PLACE / "audio" / "1.wav").write_bytes(b"1" * 999 + b"0")
    (root / PLACE / "clips.parquet").unlink()
    (root / PLACE / "audio" / "9.wav").write_bytes(b"9")
    with on("b") as (root, store):
        store.fetch(PLACE)
        assert contents(root) == ONE


def test_what_is_here_and_whole_is_not_fetched_again(on, monkeypatch):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        store.fetch(PLACE)
    with on("b") as (root, store):
        monkeypatch.setattr(store._bucket, "download", lambda files: pytest.fail(f"fetched {files}"))
        store.fetch(PLACE)
        store.fetch(PLACE, "audio/1.wav")


def test_of_many_that_want_a_folder_one_fetches_it(on, monkeypatch):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        real, fetched = store._bucket.download, []
        monkeypatch.setattr(store._bucket, "download", lambda files: (fetched.append(files), real(files)))
        threads = [threading.Thread(target=store.fetch, args=(PLACE,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(fetched) == 1
        assert contents(root) == ONE


def test_the_cache_is_bounded(on):
    places = [f"packages/acme/p{number}/clips" for number in range(6)]
    with on("a") as (root, store):
        for place in places:
            publish(root, store, {"x.wav": os.urandom(100_000)}, place)
    with on("b", ALP_CACHE_GB="0.0003") as (root, store):
        store._cache._grace_s = 0.0
        for place in places:
            store.fetch(place)
            assert (root / place / "x.wav").is_file()
        kept = [place for place in places if (root / place).exists()]
        assert kept == places[-3:]
        store.fetch(places[0])
        assert (root / places[0] / "x.wav").stat().st_size == 100_000
        with store.using():
            for place in places:
                store.fetch(place)
            assert all((root / place).exists() for place in places)


def test_a_removed_folder_is_gone_everywhere(on):
    with on("a") as (root, store):
        publish(root, store, ONE)
    with on("b") as (root, store):
        store.fetch(PLACE)
    with on("a") as (root, store):
        store.remove("packages/acme/first")
        assert not store.has(PLACE)
    with on("b") as (root, store):
        store.fetch(PLACE)
        assert not (root / PLACE).exists()


def test_single_files_come_as_they_are_and_are_never_overwritten(on):
    name = "inbox/acme/first.zip"
    with on("a") as (root, store):
        (root / "inbox" / "acme").mkdir(parents=True)
        (root / name).write_bytes(b"zip one")
        store.put_file(name, only_new=True)
        (root / name).write_bytes(b"zip two")
        with pytest.raises(FileExistsError):
            store.put_file(name, only_new=True)
    with on("b") as (root, store):
        store.fetch_file(name)
        store.fetch_file("inbox/acme/none.zip")
        assert (root / name).read_bytes() == b"zip one"
        (item,) = store.arrived("inbox")
        assert (item.name, item.bytes) == ("acme/first.zip", 7)
        assert abs((root / name).stat().st_mtime_ns - item.modified_ns) < 1e9
        assert not (root / "inbox" / "acme" / "none.zip").exists()


def test_a_file_that_is_replaced_while_it_is_read_comes_as_one_of_both(on, bucket, monkeypatch):
    name = "inbox/acme/first.zip"
    bucket.write(name, b"zip one")
    with on("b") as (root, store):
        real = store._bucket.download

        def replaced_meanwhile(files):
            monkeypatch.setattr(store._bucket, "download", real)
            real(files)
            bucket.write(name, b"zip two, which is longer")

        monkeypatch.setattr(store._bucket, "download", replaced_meanwhile)
        store.fetch_file(name)
        assert (root / name).read_bytes() == b"zip two, which is longer"


def test_everything_lies_below_the_cache_and_the_prefix(on, bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tree(tmp_path))
    with on("a") as (root, store):
        publish(root, store, ONE)
        store.fetch(PLACE)
    assert root == tmp_path / "a" / "s3" / bucket.url.split("/")[2] / "root"
    assert {name.split("/")[0] for name in set(tree(tmp_path)) - before} == {"a"}
    pages = bucket._fs.call_s3("list_objects_v2", Bucket=bucket.url.split("/")[2])
    assert all(item["Key"].startswith("root/packages/") for item in pages["Contents"])


def test_what_ails_the_bucket_is_said_in_words(on, monkeypatch):
    with on("a"):
        monkeypatch.setenv("ALP_DATA", "s3://nobody-has-this/root")
        with pytest.raises(StoreFailed, match=r"s3://nobody-has-this/root: .*ALP_S3_ENDPOINT"):
            store_of(data_root()).has(PLACE)
    for wrong in ("gs://bucket/x", "s3://bucket/../x", "s3://bu cket?/x"):
        monkeypatch.setenv("ALP_DATA", wrong)
        with pytest.raises(AlpError, match="Write a folder, or s3://bucket/prefix"):
            data_root()


def test_a_manifest_that_cannot_be_read_is_damage(on, bucket):
    with on("a") as (root, store):
        publish(root, store, ONE)
    bucket.write(f"{PLACE}/manifest.json", json.dumps({"files": 3}).encode())
    with on("b") as (root, store):
        assert store.has(PLACE)
        with pytest.raises(FolderDamaged, match=r"manifest\.json: is no manifest"):
            store.fetch(PLACE)
    with on("a") as (root, store):
        publish(root, store, ONE)
        store.fetch(PLACE)
