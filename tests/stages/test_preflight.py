"""What would become of a package if it were sent as it is, and what a refused one gets."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from alp_assets.params import with_overrides
from alp_assets.progress import silent
from alp_assets.report.form.sheet import build_sheet
from alp_assets.stages.metadata import read_problems
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.preflight import preflight
from alp_assets.stages.quality import OK, quality, read_quality, recording_problems
from alp_assets.stages.rejection import reject
from schemas.columns import COLUMNS, fold_header
from tests.packages import FAST, audio, hum, machine_files, receive, row, run_through, table, zipped


def checked(tmp_path, archive, params=FAST, customer="acme"):
    folder = PackageFolder(tmp_path / "scratch", customer, "package")
    return preflight(folder, archive, tmp_path / "data", params, lambda stage: silent)


def package(path, *machines):
    """A zip of machines, each given as options of ``machine_files``."""
    files, rows = {}, []
    for number, options in enumerate(machines):
        more, listed = machine_files(**{"seed": number, "anomaly": 0, **options})
        files |= more
        rows += listed
    return zipped(path, {**files, "metadata.csv": table(rows)})


def states(found):
    return {prospect.section_id: (prospect.state, prospect.why) for prospect in found.prospects}


def test_every_machine_is_told_what_it_would_get_and_why(tmp_path):
    archive = package(
        tmp_path / "p.zip",
        {"section": "few", "train": 3},
        {"section": "many", "train": 10},
        {"section": "old", "train": 2, "domain": "source"},
        {"section": "one", "train": 1},
        {"section": "none", "train": 0, "normal": 2},
    )
    found = checked(tmp_path, archive, with_overrides(FAST, {"models.selection.much_source": 2}))
    assert states(found) == {
        "few": ("model", "few_without_weights"),
        "many": ("model", "enough_target"),
        "old": ("model", "much_source"),
        "one": ("too_few", ""),
        "none": ("no_normals", ""),
    }
    assert found.verdict == "ok"
    assert (found.able, found.recordings, found.usable) == (3, len(read_quality_of(tmp_path)), found.recordings)
    assert [problem.values["section"] for problem in found.problems] == ["fan/none", "fan/one"]


def read_quality_of(tmp_path):
    return read_quality(PackageFolder(tmp_path / "scratch", "acme", "package"))


def test_clips_are_counted_as_they_will_be_cut(tmp_path):
    files = {f"audio/{n}.wav": audio(hum(n, seconds=seconds)) for n, seconds in enumerate((25.5, 20.4, 10.0))}
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    (prospect,) = checked(tmp_path, archive).prospects
    assert prospect.target_normals == 3 + 2 + 1
    assert (prospect.engine, prospect.letter) == ("memory_bank", "B")


def test_an_engine_that_is_asked_for_is_said_to_be(tmp_path):
    archive = package(tmp_path / "p.zip", {"train": 3})
    params = with_overrides(FAST, {"models.pins": {"acme": "isolation_forest"}})
    (prospect,) = checked(tmp_path, archive, params).prospects
    assert (prospect.engine, prospect.why) == ("isolation_forest", "asked_for")


def test_a_machine_whose_every_row_is_wrong_is_not_forgotten(tmp_path):
    files, rows = machine_files(train=3, normal=0, anomaly=0)
    bad = [row("audio/x.wav", section_id="2", recorded_at="yesterday"), row("audio/absent.wav", section_id="3")]
    unknown = [row("audio/y.wav", section_id="4", machine_type="toaster")]
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([*rows, *bad, *unknown])})
    found = checked(tmp_path, archive)
    assert {name: state for name, (state, _) in states(found).items()} == {
        "1": "model", "2": "nothing", "3": "nothing",
    }  # fmt: skip
    assert found.verdict == "problems"


def test_what_is_refused_has_its_reason_in_both_languages(tmp_path):
    archive = zipped(tmp_path / "p.zip", {"audio/a.wav": audio(hum(1)), "sub/metdata.csv": b"a,b\n1,2\n"})
    found = checked(tmp_path, archive)
    assert found.verdict == "refused"
    assert "sub/metdata.csv" in found.reasons["en"][0]
    assert "혹시 sub/metdata.csv 파일입니까?" in found.reasons["ko"][0]
    assert found.prospects == ()


def test_a_file_that_is_no_zip_is_called_what_its_sender_called_it(tmp_path):
    (tmp_path / "녹음.zip").write_bytes(b"no zip at all")
    found = checked(tmp_path, tmp_path / "녹음.zip")
    assert [problem.file for problem in found.problems] == ["녹음.zip"]
    assert found.reasons["ko"][0].startswith("녹음.zip: ")


def test_the_form_of_a_second_machine_that_is_not_read_is_named(tmp_path):
    files, rows = machine_files(train=3, normal=0, anomaly=0)
    tables = {"metadata.xlsx": workbook(rows), "valve/metadata.xlsx": workbook(rows)}
    found = checked(tmp_path, zipped(tmp_path / "p.zip", {**files, **tables}))
    assert [(problem.code, problem.file) for problem in found.problems] == [("other_table", "valve/metadata.xlsx")]


@pytest.fixture(scope="module")
def silent_package(tmp_path_factory):
    """A refused package: silence, and a row with a date that cannot be read."""
    place = tmp_path_factory.mktemp("silent")
    files = {f"audio/{n}.wav": audio(np.zeros(32_000, np.float32) + n * 1e-6) for n in range(3)}
    rows = [*(row(path) for path in files), row("audio/none.wav", recorded_at="어제")]
    folder = receive(place / "data", zipped(place / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder)
    return folder, reject(folder)


def test_a_refused_package_gets_a_letter_and_a_list_in_each_language(silent_package):
    folder, reasons = silent_package
    english = (folder.stage("rejected") / "letter.html").read_text(encoding="utf-8")
    korean = (folder.stage("rejected") / "letter.ko.html").read_text(encoding="utf-8")
    assert reasons == [
        "None of the 3 recordings can be used. Most often: It is silent for 100% of the time (below -85 dBFS)."
    ]
    assert reasons[0] in english
    assert "녹음 3개 중 사용할 수 있는 것이 없습니다. 가장 많은 이유: 전체 시간의 100%가 무음입니다" in korean
    assert "5행, D열(recorded_at)" in korean
    assert "problems.ko.csv" in korean
    listed = pd.read_csv(folder.stage("rejected") / "problems.ko.csv", dtype=str, encoding="utf-8-sig")
    assert listed["문제"].tolist()[0] == "날짜로 읽을 수 없습니다."
    assert set(listed["영향"]) == {"해당 항목 제외"}


def test_problems_read_back_tell_the_same_in_both_languages(silent_package):
    folder, _ = silent_package
    (problem,) = read_problems(folder)
    assert (problem.code, problem.row, problem.letter, problem.value) == ("time_unreadable", 5, "D", "어제")
    stored = recording_problems(read_quality(folder))
    assert {found.told("ko").remedy for found in stored} == {"마이크와 입력 감도를 확인하고 다시 녹음해 주십시오."}


def test_a_quality_table_without_codes_is_still_told(silent_package):
    folder, _ = silent_package
    old = read_quality(folder).drop(columns="problems")
    assert [problem.problem[:12] for problem in recording_problems(old)] == ["It is silent"] * 3


def test_the_summaries_carry_the_findings_for_the_run(tmp_path):
    files, rows = machine_files(train=2, normal=0, anomaly=0)
    files["audio/short.wav"] = audio(hum(5, seconds=0.3))
    rows += [row("audio/short.wav"), row("audio/absent.wav")]
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    summaries = run_through(folder, until="quality")
    (missing,) = summaries["metadata"].tables["problems"].to_dict("records")
    assert (missing["rows"], missing["column"], missing["effect"]) == ("5", "A (relative_path)", "set aside")
    (short,) = summaries["quality"].tables["problems"].to_dict("records")
    assert (short["rows"], short["remedy"]) == ("4", "Record 10 s or more.")


# Recordings that are compared


def stereo(left, right):
    return audio(np.stack([left, right], axis=1).astype(np.float32))


@pytest.mark.parametrize(
    ("sound", "told"),
    [
        (lambda: stereo(hum(1), np.roll(hum(77), 400)[::-1]), True),
        (lambda: stereo(hum(1), 0.2 * hum(1)), True),
        (lambda: stereo(hum(1), hum(1)), False),
        (lambda: stereo(hum(1), 0.9 * hum(1) + 0.01 * np.random.default_rng(0).standard_normal(32_000)), False),
        (lambda: stereo(hum(1), np.zeros(32_000)), False),
        (lambda: audio(hum(1)), False),
    ],
    ids=["other sound", "other level", "copy", "nearly", "dead channel", "mono"],
)
def test_two_channels_that_are_two_microphones(tmp_path, sound, told):
    files = {"audio/a.wav": sound(), "audio/b.wav": audio(hum(2))}
    folder = receive(
        tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table([row(path) for path in files])})
    )
    run_through(folder, until="quality")
    assert (read_quality(folder)["verdict"] == OK).all()
    codes = [problem.code for problem in recording_problems(read_quality(folder))]
    assert codes == (["two_microphones"] if told else [])


def test_a_sample_rate_that_differs_within_a_machine_is_told_of_the_rarer(tmp_path):
    files = {f"audio/{n}.wav": audio(hum(n)) for n in range(3)}
    files["audio/fast.wav"] = audio(hum(9, rate=44_100), rate=44_100)
    rows = [row(path) for path in files] + [row("audio/other.wav", section_id="2")]
    files["audio/other.wav"] = audio(hum(10, rate=48_000), rate=48_000)
    folder = receive(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    run_through(folder, until="quality")
    (problem,) = recording_problems(read_quality(folder))
    assert (problem.severity, problem.file) == ("warning", "audio/fast.wav")
    assert "44,100 Hz" in problem.problem
    assert "16,000 Hz" in problem.problem
    first = read_quality(folder)
    quality(folder, FAST)
    pd.testing.assert_frame_equal(read_quality(folder), first)


# Bad input


@pytest.mark.parametrize("encoding", ["nfd", "cp949"])
@pytest.mark.parametrize("form", ["csv", "xlsx", "our form"])
def test_korean_names_of_macos_and_windows_are_found(tmp_path, encoding, form):
    names = [f"audio/1호기/정상_녹음_{number}.wav" for number in range(3)]
    rows = [row(name, machine_type="팬", section_id="1호기") for name in names]
    if form == "csv":
        data = table(rows, encoding="cp949" if encoding == "cp949" else "utf-8")
    else:
        data = workbook(rows) if form == "xlsx" else filled_form(rows)
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.csv" if form == "csv" else "metadata.xlsx", data)
        for number, name in enumerate(names):
            archive.writestr(in_zip(name, encoding), audio(hum(number)))
    found = checked(tmp_path, path)
    assert (found.verdict, found.problems, found.usable) == ("ok", (), 3)


class _Cp949(zipfile.ZipInfo):
    """An entry as Korean Windows writes it: CP949 without a flag that says so."""

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.filename.encode("cp949"), self.flag_bits & ~0x800


def in_zip(name, encoding):
    return _Cp949(name) if encoding == "cp949" else unicodedata.normalize("NFD", name)


def filled_form(rows):
    """The Korean collection form with rows typed in below its example."""
    book = openpyxl.load_workbook(io.BytesIO(build_sheet("fan", "ko")))
    names = {fold_header(word): column.name for column in COLUMNS for word in (column.name, *column.aliases)}
    sheet = book.worksheets[0]
    letters = {names[fold_header(cell.value)]: cell.column_letter for cell in sheet[1]}
    for number, item in enumerate(rows, start=sheet.max_row + 1):
        for name, value in {**item, "operator_confirmed": "예"}.items():
            sheet[f"{letters[name]}{number}"] = value
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def workbook(rows):
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for item in rows:
        book.active.append(list(item.values()))
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


@pytest.mark.slow
def test_twenty_thousand_bad_rows_are_all_kept_and_told_in_little(tmp_path):
    files, rows = machine_files(train=3, normal=0, anomaly=0)
    rows += [row(f"audio/absent/{number:05d}.wav", recorded_at="어제") for number in range(20_000)]
    found = checked(tmp_path, zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)}))
    assert found.verdict == "problems"
    assert len(found.problems) == 20_000
    folder = PackageFolder(tmp_path / "scratch", "acme", "package")
    assert len(read_problems(folder)) == 20_000
    assert len(json.dumps(folder.summary("metadata"))) < 5_000
