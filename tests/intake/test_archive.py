"""The safe reader of a customer's zip."""

from __future__ import annotations

import contextlib
import io
import random
import stat
import struct
import threading
import unicodedata
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alp_assets.errors import AlpError, ArchiveRefused, AudioUnreadable
from alp_assets.intake.archive import PackageArchive, open_archive
from alp_assets.params import UploadParams

NOISE = random.Random(1).randbytes(3_000_000)
PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


class RawName(zipfile.ZipInfo):
    """An entry whose name is written as the very bytes given, with the UTF-8 flag or without."""

    def __init__(self, raw: bytes, flags: int = 0) -> None:
        super().__init__("placeholder")
        self.raw, self.raw_flags = raw, flags

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.raw, self.flag_bits | self.raw_flags


def write(path: Path, entries, compression=zipfile.ZIP_DEFLATED) -> Path:
    """Write (name or ZipInfo, data) pairs as a zip."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, data, compress_type=compression)
    return path


def opened(path: Path, entries, **limits) -> PackageArchive:
    return open_archive(write(path / "p.zip", entries), UploadParams(**limits))


def refusal(path: Path, entries, **limits):
    with pytest.raises(ArchiveRefused) as caught:
        opened(path, entries, **limits)
    assert all(problem.severity == "refusal" and problem.remedy for problem in caught.value.problems)
    return caught.value.problems


def test_reads_what_was_packed(tmp_path):
    entries = {
        "metadata.csv": b"a,b",
        "audio/1.wav": NOISE,
        "audio/sub/2.wav": b"",
    }
    with opened(tmp_path, entries) as archive:
        assert list(archive.files) == list(entries)
        for name, data in entries.items():
            assert archive.read(name) == data
            assert archive.files[name].size == len(data)
            assert archive.files[name].crc == zlib.crc32(data)
            archive.extract(name, tmp_path / "out" / name)
            assert (tmp_path / "out" / name).read_bytes() == data


def test_streams_and_seeks(tmp_path):
    data = NOISE[:2_300_000]
    with opened(tmp_path, {"a.wav": data}) as archive, archive.open("a.wav") as stream:
        assert stream.read(10) == data[:10]
        assert stream.seek(-6, io.SEEK_END) == len(data) - 6
        assert stream.read() == data[-6:]
        stream.seek(256)
        assert stream.read(2) == data[256:258]


def test_unknown_name_is_a_key_error_and_a_closed_archive_says_so(tmp_path):
    archive = opened(tmp_path, {"a.wav": b"1"})
    with pytest.raises(KeyError):
        archive.read("b.wav")
    archive.close()
    with pytest.raises(ValueError, match="closed"):
        archive.read("a.wav")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is a text", "not a zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7-Zip"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(50), "RAR"),
        (b"ALZ\x01" + bytes(50), "ALZ"),
    ],
)
def test_what_is_no_zip_is_refused(tmp_path, data, words):
    path = tmp_path / "upload.zip"
    path.write_bytes(data)
    with pytest.raises(ArchiveRefused) as caught:
        open_archive(path, UploadParams())
    (problem,) = caught.value.problems
    assert words in problem.problem
    assert problem.file == "upload.zip"


def test_truncated_zip_is_refused_as_cut_off(tmp_path):
    path = write(tmp_path / "p.zip", {"audio/1.wav": bytes(range(256)) * 100})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArchiveRefused, match="cut off"):
        open_archive(path, UploadParams())


def test_zip_without_its_beginning_is_refused(tmp_path):
    path = write(tmp_path / "p.zip", {f"audio/{i}.wav": b"abc" * 50 for i in range(3)})
    path.write_bytes(path.read_bytes()[100:])
    with pytest.raises(ArchiveRefused, match="damaged"):
        open_archive(path, UploadParams())


@pytest.mark.parametrize("entries", [{}, {"audio/": b""}, {"__MACOSX/._a.wav": b"x", "audio/.DS_Store": b"x"}])
def test_zip_without_files_is_refused_as_empty(tmp_path, entries):
    (problem,) = refusal(tmp_path, entries)
    assert "no files" in problem.problem


def test_missing_file_is_no_refusal(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_archive(tmp_path / "nowhere.zip", UploadParams())


@pytest.mark.parametrize(
    "name",
    [
        b"../evil.wav",
        b"audio/../../evil.wav",
        b"/etc/passwd",
        b"C:/evil.wav",
        b"c:evil.wav",
        b"..\\evil.wav",
        b"audio\\..\\..\\evil.wav",
        b"\\\\server\\share\\evil.wav",
        b"audio/a.wav\0.txt",
        b"../",
    ],
)
def test_escaping_entries_are_refused(tmp_path, name):
    problems = refusal(tmp_path, [(RawName(name), b"x"), ("audio/fine.wav", b"y")])
    assert len(problems) == 1
    assert problems[0].file
    assert "fine" not in problems[0].file


def test_names_with_dots_are_no_escape(tmp_path):
    assert "audio/a..b.wav" in opened(tmp_path, {"audio/a..b.wav": b"x", "x": b""}).files


@pytest.mark.parametrize(
    ("kind", "words"), [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "special"), (stat.S_IFCHR, "special")]
)
def test_links_and_special_files_are_refused(tmp_path, kind, words):
    info = zipfile.ZipInfo("audio/link.wav")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    (problem,) = refusal(tmp_path, [(info, b"/etc/passwd"), ("a", b"")])
    assert words in problem.problem
    assert problem.file == "audio/link.wav"


def flip(path: Path, name: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field of an entry's header in the zip's directory."""
    data = bytearray(path.read_bytes())
    place = data.rindex(name) - 46
    assert data[place : place + 4] == b"PK\x01\x02"
    data[place + offset : place + offset + len(value)] = value
    path.write_bytes(data)


def test_encrypted_entries_are_refused(tmp_path):
    path = write(tmp_path / "p.zip", {"audio/1.wav": b"secret", "audio/2.wav": b"plain"})
    flip(path, b"audio/1.wav", 8, b"\x01\x00")
    with pytest.raises(ArchiveRefused) as caught:
        open_archive(path, UploadParams())
    (problem,) = caught.value.problems
    assert problem.file == "audio/1.wav"
    assert "password" in problem.remedy


def test_too_many_entries_are_refused_with_and_without_reading_them(tmp_path):
    entries = {f"audio/{i}.wav": b"x" for i in range(6)}
    opened(tmp_path, entries, max_entries=6).close()
    (problem,) = refusal(tmp_path, entries, max_entries=5)
    assert "more than 5 entries" in problem.problem


def test_too_many_entries_never_become_objects(tmp_path, monkeypatch):
    made = []
    original = zipfile.ZipInfo.__init__
    path = write(tmp_path / "p.zip", {f"{i}": b"" for i in range(50)})
    monkeypatch.setattr(zipfile.ZipInfo, "__init__", lambda *a, **k: (made.append(1), original(*a, **k))[1])
    with pytest.raises(ArchiveRefused, match="more than 10"):
        open_archive(path, UploadParams(max_entries=10))
    assert not made


def test_zip64_directories_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = write(tmp_path / "p.zip", {f"audio/{i}.wav": b"x" for i in range(8)})
    assert b"PK\x06\x06" in path.read_bytes()
    assert len(open_archive(path, UploadParams(max_entries=8)).files) == 8
    with pytest.raises(ArchiveRefused, match="more than 7"):
        open_archive(path, UploadParams(max_entries=7))


def long_entries(count, size):
    """Entries whose headers in the directory have a comment each."""
    entries = []
    for number in range(count):
        info = zipfile.ZipInfo(f"audio/{number}.wav")
        info.comment = b"c" * size
        entries.append((info, b"x"))
    return entries


def test_a_directory_longer_than_its_files_need_is_refused_before_it_is_read(tmp_path, monkeypatch):
    made = []
    original = zipfile.ZipInfo.__init__
    path = write(tmp_path / "p.zip", long_entries(40, 60_000))
    monkeypatch.setattr(zipfile.ZipInfo, "__init__", lambda *a, **k: (made.append(1), original(*a, **k))[1])
    with pytest.raises(ArchiveRefused) as caught:
        open_archive(path, UploadParams())
    assert not made
    (problem,) = caught.value.problems
    assert "2,4" in problem.problem
    assert "40 entries" in problem.problem
    assert problem.told("ko").remedy


def test_a_zip64_directory_longer_than_its_files_need_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = write(tmp_path / "p.zip", long_entries(40, 60_000))
    assert b"PK\x06\x06" in path.read_bytes()
    with pytest.raises(ArchiveRefused, match="40 entries"):
        open_archive(path, UploadParams())


def test_a_directory_that_only_claims_to_be_long_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path / "p.zip", {"a.wav": NOISE}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 2_900_000)
    path.write_bytes(data)
    with pytest.raises(ArchiveRefused, match="2,900,000 bytes"):
        open_archive(path, UploadParams())


@pytest.mark.parametrize("most", [3, zipfile.ZIP_FILECOUNT_LIMIT], ids=["zip64", "zip"])
def test_directories_of_long_names_and_a_few_comments_are_fine(tmp_path, monkeypatch, most):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", most)
    names = [f"audio/{'긴 이름 ' * 20}{number}/{'가' * 80}.wav" for number in range(2_000)]
    entries = [*long_entries(2, 65_000), *((name, b"x") for name in names)]
    assert len(opened(tmp_path, entries).files) == 2_002


def test_sizes_over_the_limits_are_refused(tmp_path):
    entries = {"audio/big.wav": b"x" * 1000, "audio/small.wav": b"y" * 10}
    opened(tmp_path, entries, max_entry_bytes=1000, max_total_bytes=1010).close()
    (problem,) = refusal(tmp_path, entries, max_entry_bytes=999)
    assert problem.file == "audio/big.wav"
    (problem,) = refusal(tmp_path, entries, max_total_bytes=1009)
    assert "1,010 bytes" in problem.problem


def test_ratio_counts_from_a_size_on(tmp_path):
    limit = {"ratio_from_bytes": 2**20}
    opened(tmp_path, {"audio/a.wav": bytes(2**20 - 1)}, **limit).close()
    problems = refusal(tmp_path, {"audio/a.wav": bytes(2**20)}, **limit)
    assert [problem.file for problem in problems] == ["p.zip", "audio/a.wav"]
    assert all("bomb" in problem.problem for problem in problems)
    opened(tmp_path, {"audio/a.wav": bytes(2**20)}, max_ratio=2000, **limit).close()


def test_many_small_entries_are_a_bomb_together(tmp_path):
    entries = {f"audio/{number}.wav": bytes(2**18) for number in range(8)}
    opened(tmp_path, {"audio/0.wav": bytes(2**18)}, ratio_from_bytes=2**20).close()
    (problem,) = refusal(tmp_path, entries, ratio_from_bytes=2**20)
    assert "bomb" in problem.problem


def test_a_dead_microphone_is_no_bomb(tmp_path):
    opened(tmp_path, {"audio/silence.wav": bytes(4_000_000), "audio/a.wav": b"x"}).close()


def test_ignored_entries_count_as_bombs_too(tmp_path):
    problems = refusal(tmp_path, {"__MACOSX/._a": bytes(2**21), "a.wav": b"x"}, ratio_from_bytes=2**20)
    assert "__MACOSX/._a" in [problem.file for problem in problems]


def test_entries_that_share_their_data_are_refused(tmp_path):
    path = write(tmp_path / "p.zip", {"audio/1.wav": b"a" * 50, "audio/2.wav": b"a" * 50})
    flip(path, b"audio/2.wav", 42, struct.pack("<I", 0))
    with pytest.raises(ArchiveRefused, match="overlaps"):
        open_archive(path, UploadParams())


def test_all_findings_come_at_once(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    entries = [("../a", b"x"), (link, b"y"), ("big", bytes(1_000)), ("/b", b"z")]
    problems = refusal(tmp_path, entries, max_entry_bytes=999)
    assert [problem.file for problem in problems] == ["../a", "link", "big", "/b"]


def test_thousands_of_findings_are_summed_up(tmp_path):
    problems = refusal(tmp_path, {f"../{i}": b"" for i in range(1_300)})
    assert len(problems) == 1_001
    assert "300 more" in problems[-1].problem


def test_same_name_twice_with_the_same_contents_is_a_warning(tmp_path):
    archive = opened(tmp_path, [("audio/a.wav", b"x"), ("audio\\a.wav", b"x"), ("m", b"")])
    assert list(archive.files) == ["audio/a.wav", "m"]
    (warning,) = archive.warnings
    assert warning.severity == "warning"
    assert warning.file == "audio/a.wav"


def test_same_name_twice_with_other_contents_is_refused(tmp_path):
    composed = unicodedata.normalize("NFC", "audio/펌프.wav")
    (problem,) = refusal(tmp_path, [(composed, b"x"), (unicodedata.normalize("NFD", composed), b"y")])
    assert problem.file == composed


@pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
def test_unflagged_korean_names_are_repaired(tmp_path, encoding):
    names = ["audio/송풍기 1호기.wav", "audio/확.wav", "metadata.csv"]
    archive = opened(tmp_path, [(RawName(name.encode(encoding)), name.encode()) for name in names])
    assert list(archive.files) == names
    for name in names:
        assert archive.read(name) == name.encode()


def test_flagged_names_stay(tmp_path):
    assert list(opened(tmp_path, {"audio/é확Ȯ.wav": b"", "x": b""}).files) == ["audio/é확Ȯ.wav", "x"]


def test_names_in_no_korean_encoding_stay_as_the_zip_has_them(tmp_path):
    archive = opened(tmp_path, [(RawName(b"audio/r\x94.wav"), b"x"), ("m", b"")])
    assert "audio/rö.wav" in archive.files


def test_unicode_path_field_is_honoured_for_its_own_name_only(tmp_path):
    def with_field(raw: bytes, checksum: int) -> zipfile.ZipInfo:
        info = RawName(raw)
        body = b"\x01" + struct.pack("<I", checksum) + "audio/팬.wav".encode()
        info.extra = struct.pack("<HH", 0x7075, len(body)) + body
        return info

    right = opened(tmp_path, [(with_field(b"audio/_.wav", zlib.crc32(b"audio/_.wav")), b"x"), ("m", b"")])
    assert list(right.files) == ["audio/팬.wav", "m"]
    stale = opened(tmp_path, [(with_field(b"audio/_.wav", 1), b"x"), ("m", b"")])
    assert list(stale.files) == ["audio/_.wav", "m"]


def test_undecodable_flagged_name_is_refused(tmp_path):
    (problem,) = refusal(tmp_path, [(RawName(b"audio/\xff\xfe.wav", 0x800), b"x")])
    assert "name" in problem.problem


def test_names_are_composed_with_slashes(tmp_path):
    decomposed = unicodedata.normalize("NFD", "audio\\밸브\\.\\1.wav")
    archive = opened(tmp_path, {decomposed: b"x", "m": b""})
    assert list(archive.files) == ["audio/밸브/1.wav", "m"]
    assert archive.files["audio/밸브/1.wav"].zip_name == decomposed


def test_litter_is_ignored(tmp_path):
    litter = ["__MACOSX/audio/._1.wav", "audio/.DS_Store", "Thumbs.db", "audio/desktop.ini", "audio/._2.wav"]
    archive = opened(tmp_path, dict.fromkeys([*litter, "~$metadata.xlsx", "audio/", "audio/1.wav"], b"x"))
    assert list(archive.files) == ["audio/1.wav"]


def test_the_folder_around_everything_is_stripped(tmp_path):
    archive = opened(
        tmp_path, {"보내기/판넬/metadata.csv": b"t", "보내기/판넬/audio/1.wav": b"x", "__MACOSX/a": b""}
    )
    assert list(archive.files) == ["metadata.csv", "audio/1.wav"]
    assert archive.read("audio/1.wav") == b"x"


@pytest.mark.parametrize(
    "names",
    [
        ["audio/a/1.wav", "audio/a/2.wav"],
        ["Audio/1.wav"],
        ["pkg/audio/1.wav", "metadata.csv"],
        ["a/1.wav", "b/2.wav"],
    ],
)
def test_other_folders_stay(tmp_path, names):
    assert list(opened(tmp_path, dict.fromkeys(names, b"x")).files) == names


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (["Metadata.XLSX", "metadata.csv", "notes.csv"], ["metadata.csv", "Metadata.XLSX"]),
        (["METADATA.CSV", "metadata.xlsx"], ["METADATA.CSV", "metadata.xlsx"]),
        (["metadata.txt", "metadata.tsv", "metadata.xlsx"], ["metadata.xlsx", "metadata.tsv", "metadata.txt"]),
        (["녹음목록.xlsx", "readme.txt"], ["녹음목록.xlsx"]),
        (["list.tsv"], ["list.tsv"]),
        (["metadata.xlsx", "metadata (2).xlsx", "measures.tsv"], ["metadata.xlsx", "metadata (2).xlsx"]),
        (["metadata.xlsx", "valve/metadata.csv", "a.txt"], ["metadata.xlsx", "valve/metadata.csv"]),
        (["metadata.csv", "audio/metadata.csv", "signals/metadata.csv"], ["metadata.csv"]),
        (["fan/metadata.xlsx", "valve/metadata.xlsx"], []),
        (["a.csv", "b.csv"], []),
        (["audio/metadata.csv"], []),
        (["audio/1.wav"], []),
    ],
)
def test_tables(tmp_path, names, tables):
    assert opened(tmp_path, dict.fromkeys([*names, "audio/x.wav"], b"x")).tables() == tables


def test_media(tmp_path):
    names = ["metadata.csv", "other/2.FLAC", "audio/1.wav", "audio/odd.xyz", "signals/s.csv", "x.npy", "readme.md"]
    names += ["nested.zip", "audio/nested.zip", "audio"]
    archive = opened(tmp_path, dict.fromkeys(names, b"x"))
    assert archive.media() == ["audio/1.wav", "audio/odd.xyz", "other/2.FLAC", "signals/s.csv", "x.npy"]
    assert "nested.zip" in archive.files


def test_one_damaged_recording_is_lost_alone(tmp_path):
    noise = NOISE[:20_000]
    path = write(tmp_path / "p.zip", {"audio/bad.wav": noise, "audio/good.wav": noise[::-1]})
    data = bytearray(path.read_bytes())
    data[2_000:2_040] = bytes(40)
    path.write_bytes(data)
    with open_archive(path, UploadParams()) as archive:
        assert archive.read("audio/good.wav") == noise[::-1]
        with pytest.raises(AudioUnreadable, match=r"audio/bad\.wav"):
            archive.read("audio/bad.wav")
        with pytest.raises(AudioUnreadable), archive.open("audio/bad.wav") as stream:
            stream.read()
        with pytest.raises(AudioUnreadable):
            archive.extract("audio/bad.wav", tmp_path / "bad.wav")
        assert not (tmp_path / "bad.wav").exists()


@pytest.mark.parametrize("declared", [10, 100_000])
@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_sizes_that_were_declared_wrong_are_damage(tmp_path, declared, compression):
    path = write(tmp_path / "p.zip", {"audio/a.wav": b"ab" * 10_000, "m": b""}, compression)
    flip(path, b"audio/a.wav", 24, struct.pack("<I", declared))
    archive = open_archive(path, UploadParams())
    with pytest.raises(AudioUnreadable, match=r"audio/a\.wav"):
        archive.read("audio/a.wav")


def test_never_more_than_declared_is_inflated(tmp_path):
    path = write(tmp_path / "p.zip", {"a.wav": bytes(5_000_000), "m": b""})
    flip(path, b"a.wav", 24, struct.pack("<I", 1_000))
    flip(path, b"a.wav", 16, struct.pack("<I", zlib.crc32(bytes(1_000))))
    assert open_archive(path, UploadParams()).read("a.wav") == bytes(1_000)


def test_unsupported_packing_loses_one_recording(tmp_path):
    path = write(tmp_path / "p.zip", {"a.wav": b"x" * 100, "b.wav": b"y"})
    flip(path, b"a.wav", 10, struct.pack("<H", 9))
    archive = open_archive(path, UploadParams())
    assert archive.read("b.wav") == b"y"
    with pytest.raises(AudioUnreadable, match=r"a\.wav"):
        archive.read("a.wav")


def test_many_threads_read_at_once(tmp_path):
    entries = {f"audio/{i}.wav": bytes([i]) * 200_000 for i in range(24)}
    barrier = threading.Barrier(4)

    def read_all(archive: PackageArchive) -> bool:
        barrier.wait(timeout=10)
        return all(archive.read(name) == data for name, data in entries.items())

    with opened(tmp_path, entries) as archive, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, [archive] * 4))


@PROPERTY
@given(
    st.binary(max_size=400)
    | st.binary(max_size=200).map(lambda data: b"PK\x03\x04" + data + b"PK\x05\x06" + bytes(18))
)
def test_any_bytes_are_refused_or_read(tmp_path, data):
    path = tmp_path / "any.zip"
    path.write_bytes(data)
    with contextlib.suppress(AlpError):
        open_archive(path, UploadParams()).close()


@PROPERTY
@given(st.data())
def test_any_damage_to_a_zip_is_refused_or_costs_recordings(tmp_path, data):
    path = write(tmp_path / "p.zip", {"metadata.csv": b"a,b\n" * 20, "audio/펌프.wav": bytes(range(200))})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ArchiveRefused), open_archive(path, UploadParams()) as archive:
        for name, entry in archive.files.items():
            with contextlib.suppress(AudioUnreadable):
                assert len(archive.read(name)) == entry.size


LETTERS = st.characters(codec="utf-8", exclude_characters="/\\:\0", exclude_categories=["Cs"])
PART = st.text(LETTERS, min_size=1, max_size=6).filter(
    lambda part: (
        part not in (".", "..")
        and not part.startswith(("._", "~$"))
        and part.lower() not in ("__macosx", ".ds_store", "thumbs.db", "desktop.ini")
    )
)


@PROPERTY
@given(st.dictionaries(st.lists(PART, min_size=1, max_size=4).map("/".join), st.binary(max_size=50), max_size=8))
def test_trees_of_names_survive(tmp_path, tree):
    tree = {unicodedata.normalize("NFC", name): data for name, data in tree.items()}
    tree["metadata.csv"] = b"at the top, so that nothing is stripped"
    with opened(tmp_path, tree) as archive:
        assert {name: archive.read(name) for name in archive.files} == tree
