"""Folders that prove themselves whole, and how little that costs."""

import hashlib
import json
import os

import pytest

from alp_assets.store import manifest as module
from alp_assets.store.manifest import (
    MANIFEST_FILE,
    FolderDamaged,
    Manifest,
    find_damage,
    read_manifest,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "stage"
    (place / "audio").mkdir(parents=True)
    (place / "audio" / "ä 1.wav").write_bytes(b"1" * 100)
    (place / "audio" / "2.wav").write_bytes(b"2" * 100)
    (place / "table.csv").write_bytes(b"a,b\r\n")
    return place


@pytest.fixture
def written(folder):
    return write_manifest(folder, folder)


@pytest.fixture
def hashed(monkeypatch):
    """The names of the files that are hashed."""
    names = []
    real = module.sha256_of
    monkeypatch.setattr(module, "sha256_of", lambda path: (names.append(path.name), real(path))[1])
    return names


def forget():
    module._proven.clear()


def test_a_manifest_names_every_file_and_reads_back(folder, written):
    assert sorted(written.files) == ["audio/2.wav", "audio/ä 1.wav", "table.csv"]
    assert read_manifest(folder) == written
    told = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]["table.csv"]
    assert told == {"bytes": 5, "sha256": hashlib.sha256(b"a,b\r\n").hexdigest()}
    assert find_damage(folder, written) == {}


def test_the_same_files_give_the_same_bytes_and_other_files_another_version(folder, written, tmp_path):
    again = write_manifest(folder, folder)
    assert (again.encoded, again.version) == (written.encoded, written.version)
    (folder / "table.csv").write_bytes(b"a,c\r\n")
    assert write_manifest(folder, folder).version != written.version


def test_no_manifest_is_none_and_a_broken_one_is_damage(folder):
    assert read_manifest(folder) is None
    odd = '{"files": {"a": {"bytes": "1", "sha256": "x"}}}'
    for text in ("", "[]", '{"files": {"a": {"bytes": 1}}}', '{"files": {"a": 1}}', "{", odd):
        (folder / MANIFEST_FILE).write_text(text)
        with pytest.raises(FolderDamaged, match="is no manifest"):
            read_manifest(folder)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a\0b"])
def test_a_manifest_leads_nowhere_but_into_its_folder(folder, name):
    told = {"files": {name: {"bytes": 1, "sha256": "0" * 64}}}
    (folder / MANIFEST_FILE).write_text(json.dumps(told))
    with pytest.raises(FolderDamaged, match="leads out of the folder"):
        read_manifest(folder)


def test_a_flipped_byte_is_found_also_when_the_times_are_put_back(folder, written):
    path = folder / "audio" / "2.wav"
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_damage(folder, written) == {"audio/2.wav": "has other bytes than were written"}
    assert find_damage(folder, written) != {}, "what is wrong is not remembered as right"


def test_missing_additional_and_cut_files_are_told_by_name(folder, written):
    (folder / "audio" / "2.wav").unlink()
    (folder / "table.csv").write_bytes(b"a")
    (folder / "audio" / "3.wav").write_bytes(b"")
    assert find_damage(folder, written) == {
        "audio/2.wav": "is missing",
        "audio/3.wav": "does not belong there",
        "table.csv": "has 1 bytes instead of 5",
    }


def test_what_file_managers_and_nfs_leave_is_nobodys(folder, written):
    for name in (".DS_Store", "Thumbs.db", ".nfs0000000012"):
        (folder / "audio" / name).write_bytes(b"x")
    assert find_damage(folder, written) == {}


def test_a_file_is_hashed_once_in_a_process(folder, written, hashed):
    assert find_damage(folder, written) == {}
    assert hashed == [], "what this process wrote it has hashed"
    forget()
    assert find_damage(folder, written) == {}
    assert len(hashed) == 3
    assert find_damage(folder, written) == {}
    assert len(hashed) == 3
    os.utime(folder / "table.csv")
    assert find_damage(folder, written) == {}
    assert hashed[3:] == ["table.csv"]


def test_what_is_remembered_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED_FOLDERS", 2)
    forget()
    for number in range(4):
        place = folder.parent / str(number)
        place.mkdir()
        (place / "a").touch()
        write_manifest(place, place)
    assert [path.name for path in module._proven] == ["2", "3"]


def test_the_version_of_nothing_is_known():
    assert Manifest({}).bytes == 0
    assert len(Manifest({}).version) == 16
