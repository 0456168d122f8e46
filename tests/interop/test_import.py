"""Data sets of every year, through the import and the first stages of ALP."""

import csv
import io
import json
import unicodedata
import zipfile
from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from alp_assets.errors import AlpError
from alp_assets.interop.dcase_folders import read_dcase
from alp_assets.interop.entries import TABLE_COLUMNS, Packing
from alp_assets.interop.mimii import read_mimii
from alp_assets.interop.packing import write_package
from alp_assets.stages.metadata import read_metadata
from schemas.columns import COLUMN_NAMES
from tests.interop import trees
from tests.interop.trees import attribute_table, lay
from tests.packages import receive, run_through


def onboarded(tmp_path, archive):
    """The metadata of a package after upload and metadata, which must hold the contract with nothing to say."""
    folder = receive(tmp_path / "data", archive)
    summary = run_through(folder, until="metadata")["metadata"]
    assert summary.passed
    assert summary.figures["problems"] == 0
    return read_metadata(folder)


def imported(tmp_path, names, *, channels=1, read=read_dcase, packing=None, below=""):
    root = lay(tmp_path / "set", names, channels)
    packed = write_package(tmp_path / "set.zip", read(root / below), packing)
    return packed, onboarded(tmp_path, packed.path)


def rows_of(table, *columns):
    return Counter(table[list(columns)].fillna("").itertuples(index=False, name=None))


def test_the_table_has_columns_of_the_contract_only():
    assert set(TABLE_COLUMNS) <= set(COLUMN_NAMES)


class TestYears:
    def test_2020_has_machine_ids_and_one_domain(self, tmp_path):
        packed, table = imported(tmp_path, [*trees.of_2020(), *trees.of_2020("pump", "02")])
        assert packed.name == "DCASE 2020 Task 2"
        assert rows_of(table, "machine_type", "section_id", "split", "domain", "label") == {
            (machine, section, *kind): count
            for machine, section in (("fan", "00"), ("pump", "02"))
            for kind, count in {
                ("train", "source", "normal"): 4,
                ("test", "source", "normal"): 2,
                ("test", "source", "anomaly"): 2,
            }.items()
        }

    def test_2021_has_a_test_folder_for_each_domain(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2021())
        assert packed.name == "DCASE 2021 Task 2"
        assert rows_of(table, "split", "domain", "label") == {
            ("train", "source", "normal"): 4,
            ("train", "target", "normal"): 2,
            **{("test", domain, label): 1 for domain in ("source", "target") for label in ("normal", "anomaly")},
        }
        told = table.loc[table["split"] == "train", "operating_condition"]
        assert set(map(json.loads(told.iloc[0]).get, ["attributes"])) == {"strength_1_ambient"}

    @pytest.mark.parametrize("below", ["", "fan"])
    def test_2022_to_2024_tell_attributes_in_names_and_tables(self, tmp_path, below):
        names = trees.of_2022(attributes="m-n_W")
        table_text = attribute_table(names[:4], **{"m-n": "X", "spd": "3"})
        tree = {**dict.fromkeys(names, b""), "fan/attributes_00.csv": table_text}
        packed, table = imported(tmp_path, tree, below=below)
        assert packed.name == "DCASE 2022 to 2024 Task 2"
        assert not packed.findings
        assert rows_of(table, "split", "domain", "noise_id", "speed_level") == {
            ("train", "source", "X", "3"): 4,
            ("train", "target", "W", ""): 2,
            ("test", "source", "W", ""): 2,
            ("test", "target", "W", ""): 2,
        }

    @pytest.mark.parametrize("infix", ["test_", ""])
    def test_labels_that_are_kept_back_are_unknown(self, tmp_path, infix):
        _, table = imported(tmp_path, trees.kept_back(infix=infix))
        assert rows_of(table, "section_id", "split", "label") == {
            ("03", "train", "normal"): 6,
            ("03", "test", "unknown"): 4,
        }

    def test_2025_has_the_machine_and_the_noise_alone(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2025())
        assert packed.name == "DCASE 2025 Task 2"
        extra = table[table["split"] == "supplemental"]
        assert rows_of(extra, "supp_type", "label") == {("machine", "unknown"): 2, ("noise", "unknown"): 1}
        assert table["operating_condition"].isna().all()

    def test_2026_keeps_near_and_far_in_one_file_of_which_alp_hears_the_near_one(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2025(), channels=2)
        assert packed.name == "DCASE 2026 Task 2"
        assert set(table["mic_position_id"]) == {"near"}
        assert same_bytes(tmp_path, packed, table)

    def test_dev_and_eval_data_go_into_one_package(self, tmp_path):
        names = [f"dev_data/{name}" for name in trees.of_2022()] + [f"eval_data/{n}" for n in trees.kept_back()]
        _, table = imported(tmp_path, names)
        assert set(table["section_id"]) == {"00", "03"}
        assert set(table["machine_type"]) == {"fan"}


class TestMicrophones:
    """``apart`` and one of several."""

    def sounds(self, packed, table):
        with zipfile.ZipFile(packed.path) as archive:
            return {
                row.file: sf.read(io.BytesIO(archive.read(row.file)), dtype="int16", always_2d=True)[0]
                for row in table.itertuples()
            }

    def test_apart_makes_each_microphone_a_recording_and_the_far_one_a_section(self, tmp_path):
        names = trees.of_2022(attributes="mic_1")
        packed, table = imported(tmp_path, names, channels=2, packing=Packing(channels="apart"))
        assert rows_of(table, "section_id", "mic_position_id") == {
            ("00", "1 near"): len(names),
            ("00-far", "1 far"): len(names),
        }
        taken = self.sounds(packed, table)
        for name in names:
            both = sf.read(tmp_path / "set" / name, dtype="int16")[0]
            folder, _, file = f"audio/{name}".rpartition("/")
            np.testing.assert_array_equal(taken[f"{folder}/{file}"], both[:, [0]])
            np.testing.assert_array_equal(taken[f"{folder}/far/{file}"], both[:, [1]])

    def test_one_microphone_by_its_name(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2022(), channels=2, packing=Packing(channels="far"))
        assert set(table["mic_position_id"]) == {"far"}
        assert set(table["section_id"]) == {"00"}
        assert {samples.shape[1] for samples in self.sounds(packed, table).values()} == {1}

    def test_or_its_number(self, tmp_path):
        packing = Packing(channels="5")
        packed, table = imported(tmp_path, trees.mimii(), channels=8, read=read_mimii, packing=packing)
        assert set(table["mic_position_id"]) == {"channel5"}
        (name,) = {row.file for row in table.itertuples() if row.file.endswith("abnormal/00000001.wav")}
        original = sf.read(tmp_path / "set" / "6_dB_fan/fan/id_00/abnormal/00000001.wav", dtype="int16")[0]
        np.testing.assert_array_equal(self.sounds(packed, table)[name], original[:, [4]])

    @pytest.mark.parametrize("channels", ["3", "0", "middle", "-1"])
    def test_one_that_is_not_there_is_refused(self, tmp_path, channels):
        root = lay(tmp_path / "set", trees.of_2022(), channels=2)
        with pytest.raises(AlpError, match="1 to 2, near, far"):
            write_package(tmp_path / "x.zip", read_dcase(root), Packing(channels=channels))


class TestMimii:
    def test_as_many_normals_as_anomalies_are_for_testing_and_they_are_the_first(self, tmp_path):
        _, table = imported(tmp_path, trees.mimii(), read=read_mimii, channels=8)
        assert rows_of(table, "split", "label", "domain", "snr_db") == {
            ("train", "normal", "source", 6.0): 5,
            ("test", "normal", "source", 6.0): 2,
            ("test", "anomaly", "source", 6.0): 2,
        }
        tests = table[(table["split"] == "test") & (table["label"] == "normal")]
        assert sorted(name.rpartition("/")[2] for name in tests["file"]) == ["00000000.wav", "00000001.wav"]

    def test_at_least_half_of_the_normals_train(self, tmp_path):
        names = [name for name in trees.mimii() if "abnormal" in name or name[-6:-4] in ("00", "01", "02")]
        _, table = imported(tmp_path, names, read=read_mimii)
        assert rows_of(table, "split", "label") == {
            ("train", "normal"): 2,
            ("test", "normal"): 1,
            ("test", "anomaly"): 2,
        }

    @pytest.mark.parametrize(
        ("above", "snr_db"),
        [("6_dB_fan/", 6), ("-6_dB_fan/", -6), ("0_dB_fan/", 0), ("min6dB/", -6), ("0dB/", 0), ("6dB/", 6)],
    )
    def test_the_noise_level_is_told_by_the_folders(self, tmp_path, above, snr_db):
        data = read_mimii(lay(tmp_path, trees.mimii(above=above)))
        assert {float(recording.snr_db) for recording in data.recordings} == {snr_db}
        assert data.machines == ["fan"]

    def test_no_folder_no_level(self, tmp_path):
        _, table = imported(tmp_path, trees.mimii(above=""), read=read_mimii)
        assert table["snr_db"].isna().all()

    def test_one_recording_at_several_levels_has_one_purpose(self, tmp_path):
        whole, part = trees.mimii(), trees.mimii(above="-6_dB_fan/")
        names = [*whole, *(name for name in part if "abnormal/00000000" not in name)]
        _, table = imported(tmp_path, names, read=read_mimii)
        purpose = table.assign(file=table["file"].str.replace(r"/-?6_dB/", "/", regex=True)).groupby("file")[
            "split"
        ]
        assert set(table["snr_db"]) == {6.0, -6.0}
        assert purpose.nunique().eq(1).all()

    @pytest.mark.parametrize(("tree", "name"), [(trees.of_2022, "MIMII DG"), (trees.of_2021, "MIMII DUE")])
    def test_due_and_dg_are_laid_out_as_the_challenge_is(self, tmp_path, tree, name):
        packed, table = imported(tmp_path, tree(), read=read_mimii)
        assert packed.name == name
        assert len(table) == len(tree())

    def test_several_sets_at_once_are_refused(self, tmp_path):
        root = lay(tmp_path, [*trees.mimii(), *trees.of_2022()])
        with pytest.raises(AlpError, match=r"several sets.*00000000\.wav.*section_00"):
            read_mimii(root)


class TestMachineTypes:
    def test_an_alias_of_alp_is_enough_and_stays_in_the_section(self, tmp_path):
        _, table = imported(
            tmp_path, [*trees.of_2022("fan"), *trees.of_2022("송풍기"), *trees.of_2022("bearingEmu")]
        )
        assert set(rows_of(table, "machine_type", "section_id")) == {
            ("fan", "00"),
            ("fan", "송풍기-00"),
            ("bearing", "bearingEmu-00"),
        }

    def test_others_are_refused_by_name_with_what_to_do(self, tmp_path):
        root = lay(tmp_path / "set", [*trees.of_2022("fan"), *trees.of_2022("ToyUnicorn")])
        with pytest.raises(AlpError, match=r"ToyUnicorn\..*--machine-type ToyUnicorn=TYPE"):
            write_package(tmp_path / "x.zip", read_dcase(root))
        with pytest.raises(AlpError, match="no machine type horse"):
            write_package(tmp_path / "x.zip", read_dcase(root), Packing({"ToyUnicorn": "horse"}))
        with pytest.raises(AlpError, match="no machine ToyCart"):
            write_package(tmp_path / "x.zip", read_dcase(root), Packing({"ToyCart": "motor"}))
        assert not (tmp_path / "x.zip").exists()

    def test_until_somebody_says_what_stands_for_them(self, tmp_path):
        _, table = imported(tmp_path, trees.of_2022("ToyUnicorn"), packing=Packing({"ToyUnicorn": "motor"}))
        assert set(rows_of(table, "machine_type", "section_id")) == {("motor", "ToyUnicorn-00")}


class TestChoosing:
    def test_machines_and_sections(self, tmp_path):
        root = lay(tmp_path, [name for m in ("fan", "pump") for s in ("00", "01") for name in trees.of_2022(m, s)])
        chosen = read_dcase(root).only(["pump"], ["01"])
        assert {(item.machine, item.section) for item in chosen.recordings} == {("pump", "01")}

    @pytest.mark.parametrize(
        ("choice", "why"), [((["Fan"], []), "no machine Fan.*are fan"), (([], ["7"]), "no section 7.*are 00")]
    )
    def test_what_is_not_there_is_refused(self, tmp_path, choice, why):
        with pytest.raises(AlpError, match=why):
            read_dcase(lay(tmp_path, trees.of_2022())).only(*choice)


class TestBadInput:
    def test_an_empty_folder(self, tmp_path):
        for read in (read_dcase, read_mimii):
            with pytest.raises(AlpError, match="It is empty"):
                read(tmp_path)

    def test_no_folder(self, tmp_path):
        with pytest.raises(AlpError, match="no such folder"):
            read_dcase(tmp_path / "nowhere")
        (tmp_path / "fan.zip").write_bytes(b"PK")
        with pytest.raises(AlpError, match="unpack it"):
            read_dcase(tmp_path / "fan.zip")

    def test_nothing_that_fits_says_what_there_is(self, tmp_path):
        with pytest.raises(AlpError, match=r"1 files fit no rule; first: fan\.zip"):
            read_dcase(lay(tmp_path, {"fan.zip": b"PK"}))

    @pytest.mark.parametrize(
        ("other", "examples"),
        [
            (trees.of_2020, r"2020 Task 2\).*2022 to 2024"),
            (trees.of_2021, r"2021 Task 2\).*2022 to 2024"),
        ],
    )
    def test_several_years_in_one_folder_are_refused_with_an_example_of_each(self, tmp_path, other, examples):
        root = lay(tmp_path, [*trees.of_2022(), *other("pump")])
        with pytest.raises(AlpError, match=f"several years.*{examples}"):
            read_dcase(root)

    def test_so_are_files_with_one_channel_and_with_two(self, tmp_path):
        lay(tmp_path, trees.of_2022())
        lay(tmp_path, trees.of_2022("pump"), channels=2)
        with pytest.raises(AlpError, match=r"has 1; pump.* has 2"):
            read_dcase(tmp_path)

    def test_files_that_fit_no_rule_are_listed_and_the_rest_goes_on(self, tmp_path):
        strays = {
            "README.md": b"read me",
            "fan/train/notes.txt": b"notes",
            "fan/train/section_00_source_train_anomaly_0000_m-n_W.wav": b"",
            "fan/test/my recording.wav": b"",
            "fan/old/section_00_source_train_normal_0009_m-n_W.wav": b"",
            "fan/.DS_Store": b"junk",
        }
        packed, table = imported(tmp_path, {**dict.fromkeys(trees.of_2022(), b""), **strays})
        left_out = [finding.file for finding in packed.findings if finding.left_out]
        assert left_out == sorted(set(strays) - {"fan/.DS_Store"})
        assert len(table) == len(trees.of_2022())

    def test_a_damaged_recording_is_left_out_by_name(self, tmp_path):
        name = trees.of_2022()[0]
        for data in (b"RIFF", b"no audio at all", b""):
            root = lay(tmp_path / str(len(data)), trees.of_2022())
            (root / name).write_bytes(data)
            found = read_dcase(root)
            assert name in [finding.file for finding in found.findings if finding.left_out]
            assert len(found.recordings) == len(trees.of_2022()) - 1

    def test_nothing_but_damaged_recordings_is_an_error(self, tmp_path):
        with pytest.raises(AlpError, match="none of its 10 recordings can be opened"):
            read_dcase(lay(tmp_path, dict.fromkeys(trees.of_2022(), b"x")))

    def test_one_name_twice_is_taken_once(self, tmp_path):
        names = trees.of_2022()
        packed, table = imported(tmp_path, [*names, f"copy/{names[0]}"])
        assert len(table) == len(names)
        (twin,) = [finding for finding in packed.findings if finding.left_out]
        assert twin.file == names[0]
        assert f"copy/{names[0]}" in twin.problem

    def test_missing_tables_of_attributes_are_named_and_others_count(self, tmp_path):
        names = [name for section in ("00", "01", "02") for name in trees.of_2022(section=section)]
        tree = dict.fromkeys(names, b"") | {"fan/attributes_01.csv": attribute_table(names[10:16], vel="9")}
        packed, table = imported(tmp_path, tree)
        assert [finding.file for finding in packed.findings] == ["fan/attributes_00.csv", "fan/attributes_02.csv"]
        assert rows_of(table[table["section_id"] == "01"], "speed_level") == {("9",): 6, ("",): 4}

    def test_tables_of_training_and_test_sets_complete_each_other(self, tmp_path):
        names = trees.of_2022(attributes="")
        tree = {(f"a/{name}" if "/train/" in name else f"b/{name}"): b"" for name in names}
        tree["a/fan/attributes_00.csv"] = attribute_table(names[:6], vel="1")
        tree["b/fan/attributes_00.csv"] = attribute_table(names[6:], vel="2")
        packed, table = imported(tmp_path, tree)
        assert rows_of(table, "split", "speed_level") == {("train", "1"): 6, ("test", "2"): 4}
        assert not packed.findings

    def test_rows_about_recordings_that_are_not_here_are_counted(self, tmp_path):
        tree = {
            **dict.fromkeys(trees.of_2022(), b""),
            "fan/attributes_00.csv": attribute_table(["gone.wav"], a="b"),
        }
        (finding,) = read_dcase(lay(tmp_path, tree)).findings
        assert "1 of its rows" in finding.problem
        assert not finding.left_out

    def test_korean_paths_decomposed_as_macos_writes_them(self, tmp_path):
        below = unicodedata.normalize("NFD", "공장 데이터/펌프")
        names = [name.replace("fan/", f"{below}/") for name in trees.of_2022()]
        packed, table = imported(tmp_path, names)
        assert set(rows_of(table, "machine_type", "section_id")) == {("pump", "펌프-00")}
        assert len(table) == packed.recordings == len(names)

    def test_links_are_followed_but_not_round_in_circles(self, tmp_path):
        root = lay(tmp_path / "real", trees.of_2022())
        (root / "fan" / "again").symlink_to(root)
        (tmp_path / "linked").symlink_to(root)
        assert len(read_dcase(tmp_path / "linked").recordings) == len(trees.of_2022())


class TestWriting:
    def test_audio_is_in_the_zip_byte_for_byte_and_not_compressed(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2022())
        assert same_bytes(tmp_path, packed, table)
        with zipfile.ZipFile(packed.path) as archive:
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}

    def test_train_normals_are_vouched_for_and_times_are_the_stand_in(self, tmp_path):
        packed, table = imported(tmp_path, trees.of_2022(), packing=Packing(recorded_at="2024-05-06T07:08"))
        assert packed.recorded_at == "2024-05-06T07:08"
        assert set(table["recorded_at"].astype(str)) == {"2024-05-06 07:08:00"}
        assert set(table.loc[table["split"] == "train", "operator_confirmed"]) == {True}
        assert table.loc[table["split"] == "test", "operator_confirmed"].isna().all()

    def test_the_same_set_gives_the_same_bytes(self, tmp_path):
        first = write_package(tmp_path / "1.zip", read_dcase(lay(tmp_path / "a" / "set", trees.of_2022())))
        second = write_package(tmp_path / "2.zip", read_dcase(lay(tmp_path / "b" / "set", trees.of_2022())))
        assert first.path.read_bytes() == second.path.read_bytes()

    def test_a_file_that_is_there_stays(self, tmp_path):
        data = read_dcase(lay(tmp_path / "set", trees.of_2022()))
        (tmp_path / "x.zip").write_bytes(b"mine")
        with pytest.raises(AlpError, match=r"x\.zip: there is such a file"):
            write_package(tmp_path / "x.zip", data)
        assert (tmp_path / "x.zip").read_bytes() == b"mine"

    def test_a_recording_that_goes_away_is_named_and_leaves_nothing(self, tmp_path):
        root = lay(tmp_path / "set", trees.of_2022())
        data = read_dcase(root)
        (root / trees.of_2022()[-1]).unlink()
        with pytest.raises(AlpError, match=r"target_test_anomaly_0000.*No such file"):
            write_package(tmp_path / "x.zip", data)
        assert [path.name for path in tmp_path.iterdir()] == ["set"]

    def test_so_does_one_whose_channels_cannot_be_taken_apart(self, tmp_path):
        name = "fan/train/section_00_source_train_normal_0000_m-n_W.wav"
        root = lay(tmp_path / "set", trees.of_2022(), channels=2)
        sf.write(root / name, np.zeros((16_000, 2)), 16_000, format="FLAC")
        data = read_dcase(root)
        with pytest.raises(AlpError, match=r"normal_0000_m-n_W\.wav: it is no WAV"):
            write_package(tmp_path / "out" / "x.zip", data, Packing(channels="apart"))
        assert list((tmp_path / "out").iterdir()) == []

    def test_an_interruption_leaves_nothing(self, tmp_path):
        def stop(done, total, what):
            raise KeyboardInterrupt

        data = read_dcase(lay(tmp_path / "set", trees.of_2022()))
        with pytest.raises(KeyboardInterrupt):
            write_package(tmp_path / "out" / "x.zip", data, progress=stop)
        assert list((tmp_path / "out").iterdir()) == []

    def test_leftovers_of_killed_runs_go(self, tmp_path):
        (tmp_path / ".x.zip.abcdefgh.part").write_bytes(b"half")
        write_package(tmp_path / "x.zip", read_dcase(lay(tmp_path / "set", trees.of_2022())))
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.zip"]

    def test_a_full_disk_is_told_before_anything_is_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000})())
        with pytest.raises(AlpError, match="GB are free"):
            write_package(tmp_path / "x.zip", read_dcase(lay(tmp_path / "set", trees.of_2022())))
        assert not (tmp_path / "x.zip").exists()

    def test_too_many_recordings_for_one_package(self, tmp_path, monkeypatch):
        from alp_assets.params import UploadParams

        monkeypatch.setattr("alp_assets.interop.packing.UploadParams", lambda: UploadParams(max_entries=5))
        with pytest.raises(AlpError, match="--machines or --sections"):
            write_package(tmp_path / "x.zip", read_dcase(lay(tmp_path / "set", trees.of_2022())))


def same_bytes(tmp_path, packed, table):
    with zipfile.ZipFile(packed.path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode("utf-8-sig"))))
        assert len(rows) == len(table)
        return all(
            archive.read(row["relative_path"])
            == (tmp_path / "set" / row["relative_path"].removeprefix("audio/")).read_bytes()
            for row in rows
        )
