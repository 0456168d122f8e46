"""What customers really send: damaged, dangerous, wrong or merely unusual packages."""

import csv
import html
import io
import stat
import struct
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from alp_assets.errors import AlpError, NameRefused, UploadConflict
from alp_assets.params import with_overrides
from alp_assets.stages.clips import read_clips
from alp_assets.stages.evidence import FINDINGS_FILE, read_findings
from alp_assets.stages.metadata import read_metadata, read_problems
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import OK, SET_ASIDE, read_quality
from alp_assets.stages.rejection import reject
from alp_assets.stages.scores import SCORES_FILE, read_metrics, read_scores
from alp_assets.stages.upload import read_receipt, upload
from schemas.sections import Section
from tests.packages import (
    FAST,
    audio,
    hum,
    machine_files,
    receive,
    row,
    run_through,
    table,
    tree,
    zipped,
)

SILENCE = np.zeros(32_000, np.float32)


def assert_kept(folder, archive):
    """The upload is there byte for byte, and its receipt says so."""
    kept = folder.stage("upload") / "package.zip"
    assert kept.read_bytes() == archive.read_bytes()
    assert read_receipt(folder)["bytes"] == archive.stat().st_size


def refused(root, archive, *words, stage="metadata", params=FAST):
    """The package stops at a stage; letter and list say why; the upload is kept. Returns the problems."""
    folder = receive(root, archive)
    summaries = run_through(folder, params=params)
    assert list(summaries)[-1] == stage
    assert not summaries[stage].passed
    reasons = reject(folder)
    problems = pd.read_csv(
        folder.stage("rejected") / "problems.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    letter = html.unescape((folder.stage("rejected") / "letter.html").read_text(encoding="utf-8"))
    listed = "\n".join(" ".join(record) for record in problems.itertuples(index=False))
    for word in words:
        assert word in letter
        assert word in listed
    assert all(problems["problem"].str.len() > 0)
    assert all(problems["remedy"].str.len() > 0)
    assert all(reason in letter for reason in reasons)
    assert not folder.stage("models").exists()
    assert_kept(folder, archive)
    return problems


def accepted(root, archive, *, until="report", params=FAST):
    """The package goes through; the upload is kept."""
    folder = receive(root, archive)
    summaries = run_through(folder, until=until, params=params)
    assert all(summary.passed for summary in summaries.values()), summaries
    assert list(summaries)[-1] == until
    assert_kept(folder, archive)
    return folder


def package(path, *, files=None, rows=(), **options):
    """The zip of a machine that is well, and of more files and rows."""
    good_files, good_rows = machine_files(**{"train": 3, "normal": 1, "anomaly": 1, **options})
    return zipped(path, {**good_files, **(files or {}), "metadata.csv": table([*good_rows, *rows])})


def rows_of(problems):
    """Numbers of the rows that were set aside."""
    return [int(number) for number in problems.loc[problems["severity"] == "error", "row"]]


# The archive


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def escaping(kind, outside):
    """An entry that leads out of the package, and what it holds."""
    return {
        "parent": ("../evil.wav", b"x"),
        "deep": ("audio/../../../../evil.wav", b"x"),
        "backslash": ("..\\..\\evil.wav", b"x"),
        "absolute": (f"{outside}/evil.wav", b"x"),
        "etc": ("/etc/x", b"x"),
        "drive": ("C:\\x", b"x"),
        "link": (link("audio/evil.wav"), f"{outside}/secret".encode()),
        "link_to_root": (link("audio/evil"), b"/"),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("parent", "../evil.wav"),
        ("deep", "audio/../../../../evil.wav"),
        ("backslash", "../../evil.wav"),
        ("absolute", "evil.wav"),
        ("etc", "/etc/x"),
        ("drive", "C:/x"),
        ("link", "audio/evil.wav"),
        ("link_to_root", "audio/evil"),
    ],
)
def test_an_entry_that_leads_out_of_the_package_refuses_it_and_writes_nothing_outside(tmp_path, kind, named):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    archive = package(tmp_path / "outside" / "p.zip")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(*escaping(kind, outside))
    before = tree(tmp_path)
    problems = refused(tmp_path / "data", archive, named)
    (found,) = problems.to_dict("records")
    assert found["file"].endswith(named)
    assert found["severity"] == "refusal"
    assert found["problem"].startswith(("Its path", "This entry is a symbolic link"))
    assert tree(tmp_path, without="data") == before


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.csv", table([row("audio/0.wav")]))
        archive.writestr("audio/0.wav", bytes(2 << 20))
    return path


@pytest.mark.parametrize(
    ("limit", "value", "word"),
    [
        ("max_ratio", 200.0, "200 times its packed size"),
        ("max_total_bytes", 1_000_000, "at most 1,000,000"),
        ("max_entry_bytes", 1_000_000, "at most 1,000,000"),
        ("max_entries", 1, "more than 1 entries"),
    ],
)
def test_each_limit_of_the_archive_is_a_parameter_and_refuses_what_is_over_it(tmp_path, limit, value, word):
    high = {
        "upload.ratio_from_bytes": 1 << 20,
        "upload.max_ratio": 1e6,
        "upload.max_total_bytes": 1 << 30,
        "upload.max_entries": 100,
    }
    params = with_overrides(FAST, {**high, f"upload.{limit}": value})
    refused(tmp_path / "data", bomb(tmp_path / "p.zip"), word, params=params)


def test_what_is_within_the_limits_is_not_called_a_bomb(tmp_path):
    params = with_overrides(FAST, {"upload.max_ratio": 1e6})
    folder = receive(tmp_path / "data", bomb(tmp_path / "p.zip"))
    assert run_through(folder, until="metadata", params=params)["metadata"].passed


def encrypted(path):
    """Set bit 0 of the flags of every entry, in the local header and in the directory."""
    data = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(magic, start + 1)) >= 0:
            data[start + place] |= 1
    path.write_bytes(bytes(data))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def renamed_text(path):
    path.write_text("not a zip at all")


def emptied(path):
    path.write_bytes(b"")


def without_entries(path):
    zipfile.ZipFile(path, "w").close()


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (encrypted, "encrypted"),
        (truncated, "damaged or cut off"),
        (halved, "damaged or cut off"),
        (renamed_text, "not a zip"),
        (emptied, "The file is empty"),
        (without_entries, "holds no files"),
    ],
)
def test_a_zip_that_cannot_be_opened_is_refused_with_what_is_wrong_with_it(tmp_path, damage, word):
    archive = package(tmp_path / "p.zip", train=2, normal=0, anomaly=0)
    damage(archive)
    refused(tmp_path / "data", archive, word)


def flip(archive, member):
    """Damage the packed bytes of one entry, and leave everything else as it is."""
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(member)
    data = bytearray(archive.read_bytes())
    names = struct.unpack_from("<HH", data, info.header_offset + 26)
    middle = info.header_offset + 30 + sum(names) + info.compress_size // 2
    for place in range(middle, middle + 8):
        data[place] ^= 0xFF
    archive.write_bytes(bytes(data))


def test_a_damaged_entry_costs_that_recording_alone(tmp_path):
    archive = package(tmp_path / "p.zip", train=4)
    flip(archive, "audio/1/train_normal_01.wav")
    folder = accepted(tmp_path / "data", archive)
    quality = read_quality(folder).set_index("recording")
    (bad,) = quality.index[quality["verdict"] == SET_ASIDE]
    assert bad == "audio/1/train_normal_01.wav"
    assert "damaged inside the zip" in quality.loc[bad, "reasons"]
    assert len(read_scores(folder)) == 5


def test_a_damaged_table_entry_refuses_the_package(tmp_path):
    archive = package(tmp_path / "p.zip")
    flip(archive, "metadata.csv")
    refused(tmp_path / "data", archive, "metadata.csv", "damaged inside the zip")


# The table


def test_a_package_without_a_table_is_refused(tmp_path):
    files, _ = machine_files(train=2, normal=0, anomaly=0)
    problems = refused(tmp_path / "data", zipped(tmp_path / "p.zip", files), "There is no table")
    assert "metadata.csv" in problems["remedy"].iloc[0]


def test_a_missing_column_is_named(tmp_path):
    files, rows = machine_files(train=2, normal=0, anomaly=0)
    rows = [{name: value for name, value in item.items() if name != "section_id"} for item in rows]
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)})
    refused(tmp_path / "data", archive, "section_id", "is missing")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"PK\x03\x04 no workbook", b"relative_path,machine_type\n"]
)
def test_a_table_that_is_none_is_refused(tmp_path, content):
    files, _ = machine_files(train=2, normal=0, anomaly=0)
    refused(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": content}), "metadata.csv")


KOREAN = {
    "relative_path": "파일명",
    "machine_type": "설비유형",
    "section_id": "호기",
    "recorded_at": "녹음일시",
    "operator_confirmed": "작업자 확인",
    "split": "용도",
    "label": "상태",
}


def test_a_korean_table_in_cp949_is_accepted(tmp_path):
    files, rows = machine_files(train=3, normal=1, anomaly=1)
    words = {"fan": "팬", "1": "3호기", "yes": "예", "train": "학습", "test": "평가", "normal": "정상"}
    words["anomaly"] = "이상"
    korean = [{KOREAN[name]: words.get(value, value) for name, value in item.items()} for item in rows]
    data = table(korean, encoding="cp949")
    folder = accepted(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": data}))
    (entry,) = read_metrics(folder)["sections"]
    assert (entry["machine_type"], entry["section_id"], entry["state"]) == ("fan", "3호기", "scored")
    assert entry["clips"] == 5
    assert not read_problems(folder)


def test_every_one_of_300_bad_rows_is_reported_with_its_number_and_the_good_ones_go_on(tmp_path):
    bad = [row(f"audio/bad_{number}.wav", machine_type="toaster") for number in range(300)]
    archive = package(tmp_path / "p.zip", rows=bad)
    folder = accepted(tmp_path / "data", archive)
    problems = read_problems(folder)
    assert [problem.row for problem in problems] == list(range(7, 307))
    assert {(problem.column, problem.value) for problem in problems} == {("machine_type", "toaster")}
    assert all("fan" in problem.remedy for problem in problems)
    assert len(read_metadata(folder)) == 5
    page = (folder.stage("report") / "report.html").read_text(encoding="utf-8")
    assert "toaster" in page
    assert "300" in page


def test_a_package_of_bad_rows_alone_is_refused_with_every_row(tmp_path):
    files, rows = machine_files(train=300, normal=0, anomaly=0)
    rows = [{**item, "recorded_at": "some day"} for item in rows]
    archive = zipped(tmp_path / "p.zip", {**dict(list(files.items())[:2]), "metadata.csv": table(rows)})
    problems = refused(tmp_path / "data", archive, "recorded_at", "some day")
    assert rows_of(problems) == list(range(2, 302))


def test_duplicate_clip_ids_set_the_later_row_aside(tmp_path):
    files = {f"audio/{name}.wav": audio(hum(seed)) for seed, name in enumerate("abc", 50)}
    rows = [row(path, clip_id="same") for path in files]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows))
    problems = read_problems(folder)
    assert [(problem.row, problem.column, problem.value) for problem in problems] == [
        (8, "clip_id", "same"),
        (9, "clip_id", "same"),
    ]
    assert all("Row 7" in problem.problem for problem in problems)
    assert read_clips(folder)["clip_id"].tolist().count("same") == 1


def test_a_clip_name_that_looks_like_a_cut_of_another_recording_is_no_collision(tmp_path):
    files = {"audio/long.wav": audio(hum(60, seconds=21)), **{f"audio/{n}.wav": audio(hum(n)) for n in (61, 62)}}
    rows = [
        row("audio/61.wav", clip_id="long@10s"),
        row("audio/62.wav", clip_id="long@10s#2"),
        row("audio/long.wav", clip_id="long"),
    ]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows))
    names = read_clips(folder)["clip_id"]
    assert names.is_unique
    assert {"long@10s", "long@10s#2", "long@0s", "long@20s"} <= set(names)
    assert len(names) == 10


def test_rows_without_files_are_set_aside_and_files_without_rows_are_only_noted(tmp_path):
    files = {"audio/nobody.wav": audio(hum(70))}
    rows = [row("audio/absent.wav"), row("../outside.wav"), row("/etc/passwd")]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows))
    problems = read_problems(folder)
    errors = [problem for problem in problems if problem.severity == "error"]
    assert [problem.row for problem in errors] == [7, 8, 9]
    assert all("no such recording" in problem.problem for problem in errors)
    assert all(problem.remedy for problem in errors)
    (warning,) = [problem for problem in problems if problem.severity == "warning"]
    assert warning.file == "audio/nobody.wav"
    assert len(read_scores(folder)) == 5


def test_a_file_whose_row_was_set_aside_is_not_said_to_have_no_row(tmp_path):
    files = {"audio/x.wav": audio(hum(75)), "audio/y.wav": audio(hum(76))}
    rows = [row("X.WAV", machine_type="toaster"), row("./audio\\y.wav", recorded_at="")]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows), until="metadata")
    assert [problem.row for problem in read_problems(folder)] == [7, 8]


def test_training_rows_labelled_anomaly_are_set_aside(tmp_path):
    files = {"audio/x.wav": audio(hum(80, faulty=True)), "audio/y.wav": audio(hum(81))}
    rows = [row("audio/x.wav", label="anomaly"), row("audio/y.wav", operator_confirmed="")]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows))
    problems = read_problems(folder)
    assert [(p.row, p.column, p.severity) for p in problems[:2]] == [
        (7, "label", "error"),
        (8, "operator_confirmed", "error"),
    ]
    assert "audio/x.wav" not in set(read_metadata(folder)["relative_path"])
    assert read_metrics(folder)["counts"]["clips"] == 5


def test_decomposed_names_and_backslashes_in_the_table_find_composed_files_in_the_zip(tmp_path):
    files, rows = {}, []
    for number in range(4):
        name = f"audio/설비/정상_{number}.wav"
        files[unicodedata.normalize("NFC" if number % 2 else "NFD", name)] = audio(hum(90 + number))
        written = unicodedata.normalize("NFD" if number % 2 else "NFC", name)
        rows.append(row(written.replace("/", "\\") if number < 3 else written))
    folder = accepted(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    assert not read_problems(folder)
    assert len(read_scores(folder)) == 4
    assert all(unicodedata.is_normalized("NFC", name) for name in read_clips(folder)["recording"])


@pytest.mark.parametrize(
    "section_id",
    [
        "../../x",
        "a/b",
        "3호기",
        "..",
        "C:\\x",
        "x" * 60,
        "호" * 64,
        "#" * 64,
    ],
)
def test_whatever_a_section_is_called_its_files_stay_inside(tmp_path, section_id):
    files, rows = machine_files(train=3, normal=1, anomaly=1)
    named = [{**item, "section_id": section_id} for item in rows]
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(named)})
    before = tree(tmp_path)
    folder = accepted(tmp_path / "data", archive)
    (entry,) = read_metrics(folder)["sections"]
    assert entry["section_id"] == section_id
    assert entry["state"] == "scored"
    place = folder.stage("models") / Section("acme", "fan", section_id).folder
    assert place.parent == folder.stage("models")
    assert (place / "model.json").is_file()
    assert [path.name for path in folder.stage("models").iterdir() if path.is_dir()] == [place.name]
    assert set(read_scores(folder)["section_id"]) == {section_id}
    assert tree(tmp_path, without="data") == before


# The recordings


def wav_of(sound, **more):
    return audio(sound.astype(np.float32), **more)


def at_rate_zero():
    data = bytearray(audio(hum(101)))
    data[24:28] = bytes(4)
    return bytes(data)


def with_nan():
    sound = hum(102)
    sound[1000:1010] = np.nan
    return audio(sound, subtype="FLOAT")


def with_dropouts():
    sound = hum(103)
    for start in range(0, sound.size, 8_000):
        sound[start : start + 2_000] = 0
    return audio(sound)


def as_flac(data):
    """The same samples in another file."""
    samples, rate = sf.read(io.BytesIO(data), dtype="int32")
    return audio(samples, rate=rate, form="FLAC", subtype="PCM_24")


def tone(level, offset=0.0):
    return np.clip(level * np.sin(np.arange(32_000) / 7) + offset, -1, 1)


FINE = {
    "pcm24.wav": (lambda: audio(hum(110), subtype="PCM_24"), ""),
    "float.wav": (lambda: audio(hum(111), subtype="FLOAT"), ""),
    "eight.wav": (lambda: audio(np.stack([hum(112 + n) for n in range(8)], axis=1)), ""),
    "fast.wav": (lambda: audio(hum(120, rate=192_000), rate=192_000), "sample rate"),
    "cd.wav": (lambda: audio(hum(121, rate=44_100), rate=44_100), "sample rate"),
    "packed.flac": (lambda: audio(hum(122), form="FLAC"), ""),
    "packed.ogg": (lambda: audio(hum(123), form="OGG"), "lossy"),
    "really_flac.wav": (lambda: audio(hum(124), form="FLAC"), "does not fit its content"),
    "second.wav": (lambda: audio(hum(125, seconds=1.0, rate=44_100), rate=44_100), "sample rate"),
}
BAD = {
    "empty.wav": (lambda: b"", "empty"),
    "no_frames.wav": (lambda: audio(np.zeros(0, np.float32)), "holds no sound"),
    "header_only.wav": (lambda: audio(hum(130))[:20], "damaged or incomplete"),
    "truncated.wav": (lambda: audio(hum(131))[:40_044], "ends after 1.2 s, before the 2.0 s"),
    "zero_hertz.wav": (at_rate_zero, "0 Hz"),
    "nan.wav": (with_nan, "10 samples are not numbers"),
    "mp3.wav": (lambda: audio(hum(132), form="MP3"), "is MP3 inside"),
    "text.wav": (lambda: b"this is a note about a recording\n" * 50, "it is text"),
    "zip.wav": (lambda: b"PK\x03\x04" + bytes(500), "zip or Office"),
    "silent.wav": (lambda: audio(SILENCE), "silent for 100%"),
    "clipped.wav": (lambda: wav_of(tone(1.5)), "clipped"),
    "offset.wav": (lambda: wav_of(tone(0.1, 0.3)), "DC offset of 0.30"),
    "dropouts.wav": (with_dropouts, "drops out for 25%"),
    "short.wav": (lambda: audio(hum(133, seconds=0.5)), "0.50 s long, and at least 1 s"),
    "slow.wav": (lambda: audio(hum(134, rate=4_000), rate=4_000), "4000 Hz"),
    "copy.wav": (lambda: audio(hum(110), subtype="PCM_24"), "same audio as audio/pcm24.wav"),
    "copy_as_flac.flac": (lambda: as_flac(audio(hum(110), subtype="PCM_24")), "same audio as"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One package with every kind of recording, worked through to its report."""
    place = tmp_path_factory.mktemp("mixed")
    files = {f"audio/{name}": make() for name, (make, _) in {**FINE, **BAD}.items()}
    archive = package(place / "p.zip", files=files, rows=[row(path) for path in files])
    folder = accepted(place / "data", archive)
    return folder, read_quality(folder).set_index("recording")


@pytest.mark.parametrize("name", FINE)
def test_unusual_recordings_are_accepted_and_scored(mixed, name):
    folder, quality = mixed
    found = quality.loc[f"audio/{name}"]
    assert found["verdict"] == OK, found["reasons"]
    word = FINE[name][1]
    assert word in found["warnings"]
    assert word or not found["warnings"]
    (score,) = read_scores(folder).set_index("recording").loc[[f"audio/{name}"], "score"]
    assert np.isfinite(score)


@pytest.mark.parametrize("name", BAD)
def test_bad_recordings_are_set_aside_with_the_reason_and_what_to_do(mixed, name):
    folder, quality = mixed
    found = quality.loc[f"audio/{name}"]
    assert found["verdict"] == SET_ASIDE
    for reason in found["reasons"].split("\n"):
        problem, _, remedy = reason.partition(" → ")
        assert problem.endswith(".")
        assert remedy.endswith(".")
    assert BAD[name][1] in found["reasons"]
    assert f"audio/{name}" not in set(read_clips(folder)["recording"])
    page = html.unescape((folder.stage("report") / "report.html").read_text(encoding="utf-8"))
    assert f"audio/{name}" in page
    assert BAD[name][1] in page


def test_the_good_recordings_beside_bad_ones_are_all_scored(mixed):
    folder, _ = mixed
    assert len(read_scores(folder)) == 5 + len(FINE)
    assert read_metrics(folder)["sections"][0]["state"] == "scored"


@pytest.mark.parametrize("channel", [1, 3, 8])
def test_the_channel_that_the_parameters_name_is_the_one_used(tmp_path, channel):
    sounds = [hum(140 + number) for number in range(8)]
    files = {f"audio/{number}.wav": audio(np.roll(np.stack(sounds), number, axis=0).T) for number in range(2)}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    folder = accepted(
        tmp_path / "data", archive, until="clips", params=with_overrides(FAST, {"clips.channel": channel})
    )
    samples, _ = sf.read(folder.stage("clips") / read_clips(folder)["path"].iloc[0], frames=32_000, dtype="int16")
    expected, _ = sf.read(io.BytesIO(audio(sounds[channel - 1])), dtype="int16")
    np.testing.assert_array_equal(samples, expected)


def test_a_channel_that_a_recording_has_not_sets_it_aside(tmp_path):
    stereo = {"audio/two.wav": audio(np.stack([hum(150), hum(151)], axis=1))}
    archive = package(tmp_path / "p.zip", files=stereo, rows=[row("audio/two.wav")])
    folder = receive(tmp_path / "data", archive)
    summaries = run_through(folder, until="clips", params=with_overrides(FAST, {"clips.channel": 2}))
    quality = read_quality(folder).set_index("recording")
    assert quality.index[quality["verdict"] == OK].tolist() == ["audio/two.wav"]
    assert "Channel 2 was asked for, and it has 1" in quality["reasons"].iloc[0]
    assert summaries["clips"].figures["clips"] == 1


def test_a_package_of_silence_is_refused_at_quality(tmp_path):
    files = {f"audio/{number}.wav": audio(SILENCE + number * 1e-6) for number in range(3)}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    problems = refused(tmp_path / "data", archive, "silent for 100%", stage="quality")
    assert problems["file"].tolist() == list(files)
    assert rows_of(problems) == [2, 3, 4]


def test_a_package_whose_normals_are_all_unusable_is_refused_though_test_recordings_are_fine(tmp_path):
    files, rows = machine_files(train=0, normal=2, anomaly=1)
    files["audio/n.wav"] = audio(hum(160), form="MP3")
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([*rows, row("audio/n.wav")])})
    refused(tmp_path / "data", archive, "audio/n.wav", "is MP3 inside", stage="quality")


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_recording_as_long_as_the_least_that_is_asked_for_becomes_a_clip_at_any_rate(tmp_path, rate):
    files = {f"audio/{number}.wav": audio(hum(number, seconds=1.0, rate=rate), rate=rate) for number in range(2)}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    folder = accepted(tmp_path / "data", archive, until="clips")
    assert sorted(read_clips(folder)["recording"]) == sorted(files)


def test_a_recording_too_short_for_a_clip_is_set_aside_and_not_lost(tmp_path):
    """Whatever the two parameters are, every accepted recording has a clip."""
    params = with_overrides(FAST, {"clips.min_seconds": 3.0})
    files = {"audio/four.wav": audio(hum(170, seconds=4)), "audio/five.wav": audio(hum(171, seconds=5))}
    archive = package(tmp_path / "p.zip", files=files, rows=[row(path) for path in files])
    folder = accepted(tmp_path / "data", archive, until="clips", params=params)
    quality = read_quality(folder).set_index("recording")
    assert set(quality.index[quality["verdict"] == OK]) == set(files) == set(read_clips(folder)["recording"])
    assert quality["reasons"].iloc[0].startswith("It is 2.00 s long, and at least 3 s are needed")


# The sections


def only_section(folder):
    (entry,) = read_metrics(folder)["sections"]
    page = html.unescape((folder.stage("report") / "report.html").read_text(encoding="utf-8"))
    return entry, page


def test_one_normal_alone_cannot_be_learnt_from_and_the_report_says_so(tmp_path):
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", train=1, normal=1, anomaly=1))
    entry, page = only_section(folder)
    assert entry["state"] == "cannot_score"
    assert entry["reason"].startswith("cannot score: only 1 normal clip, and 2 are the least")
    assert entry["reason"] in page
    assert read_scores(folder).empty


def test_test_recordings_without_any_model_cannot_be_scored_and_the_report_says_so(tmp_path):
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", train=0, normal=2, anomaly=2))
    entry, page = only_section(folder)
    assert entry["state"] == "cannot_score"
    assert entry["reason"].startswith("cannot score: no normals yet")
    assert entry["reason"] in page
    assert read_scores(folder).empty


def test_supplemental_recordings_alone_cannot_be_scored(tmp_path):
    files = {"audio/noise.wav": audio(hum(180))}
    rows = [row("audio/noise.wav", split="supplemental", supp_type="noise")]
    folder = accepted(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    entry, page = only_section(folder)
    assert entry["reason"].startswith("cannot score: no normals yet")
    assert entry["reason"] in page


def test_a_section_that_cannot_be_learnt_leaves_the_others_alone(tmp_path):
    files, rows = machine_files(section="bad", train=1, normal=1, anomaly=1, seed=3)
    archive = package(tmp_path / "p.zip", files=files, rows=rows)
    folder = receive(tmp_path / "data", archive)
    summaries = run_through(folder)
    states = {entry["section_id"]: entry for entry in read_metrics(folder)["sections"]}
    assert states["1"]["state"] == "scored"
    assert states["bad"]["state"] == "cannot_score"
    gate = {gate.name: gate for gate in summaries["scores"].gates}["scores_complete"]
    assert gate.status == "warned"
    assert "acme/fan/bad" in gate.text
    assert set(read_scores(folder)["section_id"]) == {"1"}
    assert_kept(folder, archive)


def test_a_section_whose_recordings_are_all_bad_leaves_the_others_alone(tmp_path):
    files = {f"audio/bad/{number}.wav": b"nothing" * (number + 1) for number in range(2)}
    rows = [row(path, section_id="bad") for path in files]
    folder = accepted(tmp_path / "data", package(tmp_path / "p.zip", files=files, rows=rows))
    states = {entry["section_id"]: entry["state"] for entry in read_metrics(folder)["sections"]}
    assert states["1"] == "scored"
    page = (folder.stage("report") / "report.html").read_text(encoding="utf-8")
    assert all(path in page for path in files)


def test_copies_of_one_recording_do_not_count_as_normals(tmp_path):
    files = {f"audio/{number}.wav": audio(hum(190)) for number in range(5)}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    folder = accepted(tmp_path / "data", archive)
    quality = read_quality(folder)
    assert quality["verdict"].tolist() == [OK, *[SET_ASIDE] * 4]
    assert all("same audio as audio/0.wav" in reason for reason in quality["reasons"][1:])
    assert only_section(folder)[0]["reason"].startswith("cannot score: only 1 normal clip")


# The upload


def test_the_same_bytes_again_change_nothing(tmp_path):
    archive = package(tmp_path / "p.zip")
    folder = accepted(tmp_path / "data", archive)
    before = tree(tmp_path)
    again = zipped(tmp_path / "other name.zip", {})
    again.write_bytes(archive.read_bytes())
    summary = upload(folder, FAST, archive=again)
    assert summary.passed
    again.unlink()
    assert tree(tmp_path) == before


def test_other_bytes_under_the_same_name_are_a_conflict_and_the_first_stay(tmp_path):
    archive = package(tmp_path / "p.zip")
    folder = accepted(tmp_path / "data", archive, until="metadata")
    before = tree(folder.path)
    other = package(tmp_path / "q.zip", seed=5)
    with pytest.raises(UploadConflict, match=r"acme__first: other bytes .* under a new package name"):
        upload(folder, FAST, archive=other)
    assert tree(folder.path) == before
    assert_kept(folder, archive)


def test_an_upload_that_was_changed_on_disk_is_not_worked_with(tmp_path):
    folder = receive(tmp_path / "data", package(tmp_path / "p.zip"))
    kept = folder.stage("upload") / "package.zip"
    kept.write_bytes(kept.read_bytes() + b"x")
    with pytest.raises(AlpError, match=r"the stage upload is damaged: package\.zip has"):
        run_through(folder)


@pytest.fixture
def inbox(tmp_path):
    """A package in the inbox's place, and another customer's upload."""
    folder = PackageFolder(tmp_path / "data", "acme", "mine")
    folder.inbox.parent.mkdir(parents=True)
    secret = receive(tmp_path / "data", package(tmp_path / "p.zip"), customer="rival", package="secret")
    return folder, secret.stage("upload") / "package.zip"


def test_a_link_in_the_inbox_is_no_upload(inbox):
    folder, secret = inbox
    folder.inbox.symlink_to(secret)
    with pytest.raises(AlpError, match=r"mine\.zip: .*link.* Put the zip itself there"):
        upload(folder, FAST)
    assert not folder.exists()


def test_a_customers_folder_in_the_inbox_that_is_a_link_holds_no_uploads(inbox):
    folder, secret = inbox
    folder.inbox.parent.rmdir()
    folder.inbox.parent.symlink_to(secret.parent)
    secret.with_name("mine.zip").write_bytes(secret.read_bytes())
    with pytest.raises(AlpError, match=r"mine\.zip: .*link.* Put the zip itself there"):
        upload(folder, FAST)
    assert not folder.exists()


def test_a_link_in_the_inbox_is_not_compared_with_what_was_kept(inbox):
    folder, secret = inbox
    folder.inbox.write_bytes(secret.read_bytes())
    upload(folder, FAST)
    folder.inbox.unlink()
    folder.inbox.symlink_to(secret)
    with pytest.raises(AlpError, match="link"):
        upload(folder, FAST)


def test_a_link_that_its_operator_names_is_followed(tmp_path):
    archive = package(tmp_path / "p.zip")
    (tmp_path / "today.zip").symlink_to(archive)
    assert_kept(receive(tmp_path / "data", tmp_path / "today.zip"), archive)


@pytest.mark.parametrize(
    "name", ["", "ACME", "../x", "a/b", "a b", "-a", "a_b", ".", "한화", "a\n", "a\x00", "a.zip", "a" * 300]
)
def test_names_that_are_no_slugs_are_refused(tmp_path, name):
    for names in ((name, "first"), ("acme", name)):
        with pytest.raises(NameRefused, match="small letters, digits and hyphens"):
            PackageFolder(tmp_path, *names)
    assert not list(Path(tmp_path).iterdir())


def test_control_characters_anywhere_in_the_table_break_no_file(tmp_path):
    """A bare carriage return in a cell must split no row of problems.csv or scores.csv."""
    files, rows = machine_files(train=3, normal=1, anomaly=1)
    rows = [{**item, "section_id": "1\r2", "clip_id": f"c\r{number}"} for number, item in enumerate(rows)]
    rows[0]["machine_type"] = "what\rever"
    folder = receive(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder)
    assert read_scores(folder)["clip_id"].tolist() == ["c 1", "c 2", "c 3", "c 4"]
    assert [problem.row for problem in read_problems(folder)] == [2]


@pytest.mark.slow
def test_text_that_pages_and_pictures_would_read_as_code(tmp_path):
    """Section ids are customer text: no HTML in the Data Docs, no mathematics in a picture."""
    from alp_assets.assets.pictures import score_strips

    hostile = "<img src=x onerror=alert(1)>$\\frac$"
    files, rows = machine_files(train=3, normal=1, anomaly=1)
    rows = [{**item, "section_id": hostile, "clip_id": f"{hostile}{number}"} for number, item in enumerate(rows)]
    rows.append({**rows[0], "relative_path": "audio/copy.wav", "clip_id": "<script>x</script>"})
    files["audio/copy.wav"] = files[rows[0]["relative_path"]]
    folder = receive(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, params=with_overrides(FAST, {"quality.data_docs": True}))
    pages = [path.read_text() for path in folder.path.rglob("*.html")]
    assert len(pages) >= 4
    assert not any("<img src=x" in page or "<script>x" in page for page in pages)
    assert score_strips(read_scores(folder)).value.startswith("![")


def test_a_table_that_takes_too_long_to_read_refuses_the_package_in_words(tmp_path):
    params = with_overrides(FAST, {"upload.table_seconds": 1e-6})
    refused(tmp_path / "data", package(tmp_path / "p.zip"), "metadata.csv", "upload.table_seconds", params=params)


FORMULAS = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "'=1", "''=1", "'quoted", "plain"]


def test_no_list_that_people_open_holds_a_formula_and_every_id_is_read_back_as_it_was(tmp_path):
    files, rows = machine_files(train=6, normal=1, anomaly=1)
    rows = [{**item, "section_id": "=1+1", "clip_id": name} for item, name in zip(rows, FORMULAS, strict=True)]
    rows[0]["machine_type"] = "=2+2"
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)})
    folder = receive(tmp_path / "data", archive)
    run_through(folder, params=with_overrides(FAST, {"models.second_opinions": ["isolation_forest"]}))
    scores = read_scores(folder)
    assert scores["clip_id"].tolist() == FORMULAS[1:]
    assert set(scores["section_id"]) == {"=1+1"}
    assert set(read_findings(folder)["clip_id"]) <= set(FORMULAS)
    (problem,) = [problem for problem in read_problems(folder) if problem.severity == "error"]
    assert problem.value == "=2+2"
    for path in (
        folder.stage("metadata") / "problems.csv",
        folder.stage("scores") / SCORES_FILE,
        folder.stage("scores") / FINDINGS_FILE,
    ):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            cells = [cell for record in csv.reader(stream) for cell in record]
        assert len(cells) > 11
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in cells)


def test_of_two_tables_the_one_that_is_not_read_is_named(tmp_path):
    files, rows = machine_files(train=2, normal=0, anomaly=0)
    tables = {"metadata.csv": table(rows), "metadata.tsv": b"old"}
    folder = receive(tmp_path / "data", zipped(tmp_path / "p.zip", {**files, **tables}))
    run_through(folder, until="metadata")
    (problem,) = read_problems(folder)
    assert (problem.severity, problem.file) == ("warning", "metadata.tsv")
