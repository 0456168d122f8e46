from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alp_assets.errors import ParameterError
from alp_assets.files import sha256_of
from alp_assets.synth.anomalies import ANOMALIES
from alp_assets.synth.customer import SynthSpec, synthesize
from alp_assets.synth.machines import LOADS
from alp_assets.synth.recipes import RECIPES
from alp_assets.synth.surroundings import DOMAINS
from schemas.columns import COLUMN_NAMES, COLUMNS

SPEC = SynthSpec(
    machines=("fan", "valve"),
    sections_per_machine=2,
    source_normals=6,
    target_normals=3,
    test_normals=4,
    test_anomalies=5,
    noise_only=3,
    clean_machine=2,
    duration_s=2.0,
)
SMALL = SynthSpec(("fan",), 1, 2, 1, 1, 1, 0, duration_s=1.0)


def table_of(path: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(path) as archive:
        return list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode("utf-8-sig"))))


def audio_of(path: Path, row: dict[str, str]) -> tuple[np.ndarray, int]:
    with zipfile.ZipFile(path) as archive:
        return soundfile.read(io.BytesIO(archive.read(row["relative_path"])))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inbox") / "acme.zip"
    synthesize(path, SPEC)
    return path


@pytest.fixture(scope="module")
def table(package: Path) -> list[dict[str, str]]:
    return table_of(package)


def test_counts_are_as_asked_for_in_every_section(table):
    expected = {
        ("train", "source", "normal"): 6,
        ("train", "target", "normal"): 3,
        ("test", "source", "normal"): 4,
        ("test", "target", "normal"): 4,
        ("test", "source", "anomaly"): 5,
        ("test", "target", "anomaly"): 5,
        ("supplemental", "source", "unknown"): 2,
        ("supplemental", "target", "unknown"): 1,
        ("supplemental", "source", "normal"): 1,
        ("supplemental", "target", "normal"): 1,
    }
    counts = Counter((r["machine_type"], r["section_id"], r["split"], r["domain"], r["label"]) for r in table)
    assert counts == {(m, s, *k): n for m in ("fan", "valve") for s in ("00", "01") for k, n in expected.items()}
    assert len(table) == SPEC.recordings


def test_every_column_of_the_contract_is_there_and_filled_with_what_it_allows(package, table):
    assert tuple(table[0]) == COLUMN_NAMES
    for column in COLUMNS:
        written = {row[column.name] for row in table}
        assert written != {""}, column.name
        if column.values:
            assert written <= {value for value, _ in column.values} | {""}
    with zipfile.ZipFile(package) as archive:
        assert archive.read("metadata.csv").startswith(b"\xef\xbb\xbf")


def test_the_table_and_the_zip_name_the_same_recordings(package, table):
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names == [row["relative_path"] for row in table] + ["metadata.csv", "measures.tsv"]
    assert "audio/fan_00/train_source_normal_0000.wav" in names
    assert "audio/valve_01/supplemental_target_machine_0000.wav" in names
    assert len({row["clip_id"] for row in table}) == len(table)


def test_every_recording_is_measured(package, table):
    with zipfile.ZipFile(package) as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read("measures.tsv").decode()), delimiter="\t"))
    assert [line["relative_path"] for line in lines] == [row["relative_path"] for row in table]
    for line, row in zip(lines, table, strict=True):
        samples = audio_of(package, row)[0]
        assert float(line["rms_dbfs"]) == pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.01)
        assert float(line["peak_dbfs"]) == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.01)
        assert (float(line["clipping_ratio"]), float(line["silence_ratio"])) == (0.0, 0.0)


def test_the_package_passes_its_own_contract_and_is_warned_of_its_hum_alone(package, tmp_path):
    from alp_assets.stages.rejection import known_problems
    from tests.packages import receive, run_through

    folder = receive(tmp_path, package)
    assert all(summary.passed for summary in run_through(folder, until="quality").values())
    assert {problem.code for problem in known_problems(folder)} <= {"mains_hum"}


def test_rows_say_what_they_should_and_nothing_else(table):
    for row in table:
        train, faulty = row["split"] == "train", row["label"] == "anomaly"
        noise_only, clean = row["supp_type"] == "noise", row["supp_type"] == "machine"
        domain = DOMAINS[row["domain"]]
        assert row["operator_confirmed"] == ("true" if train else "")
        assert (noise_only or clean) is (row["split"] == "supplemental")
        assert row["mic_position_id"] == row["channels"]
        assert row["mic_position_id"] in domain.microphones
        assert row["sample_rate_hz"] == "16000"
        assert bool(row["noise_id"]) is not clean
        assert bool(row["snr_db"]) is not (noise_only or clean)
        assert bool(row["speed_level"]) is bool(row["load_level"]) is not noise_only
        assert bool(row["anomaly_type"]) is bool(row["anomaly_regions"]) is faulty
        assert datetime.fromisoformat(row["recorded_at"]) < datetime(2026, 1, 1)
        if row["noise_id"]:
            assert row["noise_id"] in domain.noises
        if row["snr_db"]:
            assert domain.snr_db[0] <= float(row["snr_db"]) <= domain.snr_db[1]
        if not noise_only:
            assert row["speed_level"] in domain.speeds
            assert row["load_level"] in set(domain.loads) & set(LOADS)


def test_no_two_recordings_of_a_section_are_made_at_once(table):
    for section in {(row["machine_type"], row["section_id"]) for row in table}:
        times = [r["recorded_at"] for r in table if (r["machine_type"], r["section_id"]) == section]
        assert len(set(times)) == len(times)


def test_every_kind_of_anomaly_occurs_with_regions_inside_the_recording(table):
    faulty = [row for row in table if row["label"] == "anomaly"]
    assert {row["anomaly_type"] for row in faulty} == set(ANOMALIES)
    for row in faulty:
        for start, end in json.loads(row["anomaly_regions"]):
            assert 0.0 <= start < end <= SPEC.duration_s


def test_all_audio_is_pcm16_of_the_right_length_below_full_scale_and_never_silent(package, table):
    levels = []
    with zipfile.ZipFile(package) as archive:
        for row in table:
            stream = io.BytesIO(archive.read(row["relative_path"]))
            info = soundfile.info(stream)
            stream.seek(0)
            samples, rate = soundfile.read(stream)
            assert (info.subtype, rate, samples.shape) == ("PCM_16", 16_000, (32_000,))
            assert np.abs(samples).max() < 0.96
            if not row["supp_type"]:
                levels.append(10 * np.log10(np.mean(samples**2)))
    assert min(levels) > -36.0
    assert max(levels) < -15.0
    assert -30.0 < np.median(levels) < -20.0


def test_the_domains_sound_different(package, table):
    """Of most normals, the nearest other normal by log spectrum is of their own domain."""
    rows = [row for row in table if row["label"] == "normal"]
    spectra = []
    for row in rows:
        power = np.abs(np.fft.rfft(audio_of(package, row)[0])[: 64 * 250].reshape(64, 250)) ** 2
        spectra.append(10 * np.log10(power.mean(axis=1)))
    machines = np.array([row["machine_type"] + row["section_id"] for row in rows])
    domains = np.array([row["domain"] for row in rows])
    distances = np.linalg.norm(np.array(spectra)[:, None] - np.array(spectra), axis=2)
    distances[machines[:, None] != machines] = np.inf
    np.fill_diagonal(distances, np.inf)
    assert np.mean(domains[distances.argmin(axis=1)] == domains) > 0.75


def test_same_spec_same_bytes_however_many_threads(tmp_path):
    """All types, twice with each number: what threads share must not show."""
    spec = replace(SMALL, machines=tuple(RECIPES), test_anomalies=4, noise_only=1, clean_machine=1)
    made = [synthesize(tmp_path / f"{k}.zip", spec, workers=workers) for k, workers in enumerate((1, 2, 5, 5))]
    assert len({summary.sha256 for summary in made}) == 1
    assert len({(tmp_path / f"{k}.zip").read_bytes() for k in range(4)}) == 1


def test_another_process_with_another_order_of_work_makes_the_same_bytes(tmp_path):
    """What is kept from recording to recording, such as spectra and tables, must not show."""
    first = replace(SMALL, machines=("pump", "fan"))
    code = (
        "import sys; from pathlib import Path; from alp_assets.synth.customer import *\n"
        "spec = SynthSpec(('fan', 'pump'), 1, 2, 1, 1, 1, 0, duration_s=1.0)\n"
        "synthesize(Path(sys.argv[1]), spec, workers=2)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other.zip")], check=True)
    synthesize(tmp_path / "first.zip", first, workers=1)
    other = {row["clip_id"]: audio_of(tmp_path / "other.zip", row)[0] for row in table_of(tmp_path / "other.zip")}
    for row in table_of(tmp_path / "first.zip"):
        assert np.array_equal(audio_of(tmp_path / "first.zip", row)[0], other[row["clip_id"]])


def test_another_seed_gives_other_bytes(tmp_path):
    assert synthesize(tmp_path / "a.zip", SMALL) != synthesize(tmp_path / "b.zip", replace(SMALL, seed=1))
    first, second = table_of(tmp_path / "a.zip"), table_of(tmp_path / "b.zip")
    assert [row["clip_id"] for row in first] == [row["clip_id"] for row in second]
    for one, other in zip(first, second, strict=True):
        assert not np.array_equal(audio_of(tmp_path / "a.zip", one)[0], audio_of(tmp_path / "b.zip", other)[0])


def test_more_machines_sections_and_counts_leave_the_others_as_they_were(tmp_path):
    synthesize(tmp_path / "a.zip", SMALL)
    synthesize(
        tmp_path / "b.zip",
        replace(
            SMALL,
            machines=("pump", "fan"),
            sections_per_machine=2,
            source_normals=3,
            noise_only=1,
            clean_machine=1,
        ),
    )
    more = {row["clip_id"]: row for row in table_of(tmp_path / "b.zip")}
    for row in table_of(tmp_path / "a.zip"):
        assert more[row["clip_id"]] == row
        assert np.array_equal(audio_of(tmp_path / "a.zip", row)[0], audio_of(tmp_path / "b.zip", row)[0])


def test_channels_and_sample_rate_are_as_asked_for(tmp_path):
    path = tmp_path / "a.zip"
    synthesize(path, replace(SMALL, channels=3, sample_rate_hz=44_100, duration_s=1.5, noise_only=1))
    for row in table_of(path):
        samples, rate = audio_of(path, row)
        assert (rate, samples.shape) == (44_100, (66_150, 3))
        assert len({channel.tobytes() for channel in samples.T}) == 3


def test_the_summary_and_the_progress_count_what_was_written(tmp_path):
    seen: list[tuple[int, int, str]] = []
    path = tmp_path / "new" / "a.zip"
    summary = synthesize(path, SMALL, lambda *step: seen.append(step))
    assert seen == [(done, 7, "recordings") for done in range(1, 8)]
    assert (summary.recordings, summary.sections, summary.seconds) == (7, 1, 7.0)
    assert (summary.bytes, summary.sha256) == (path.stat().st_size, sha256_of(path))


def test_a_failed_write_leaves_nothing_or_the_old_file(tmp_path):
    def fail(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    path = tmp_path / "a.zip"
    with pytest.raises(KeyboardInterrupt):
        synthesize(path, SMALL, fail)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        synthesize(path, SMALL, fail)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.zip", b"old")]


def test_a_killed_write_leaves_no_zip_and_the_next_run_cleans_up(tmp_path):
    path = tmp_path / "a.zip"
    code = (
        "import sys, time; from pathlib import Path; from alp_assets.synth.customer import *\n"
        "stop = lambda *step: (print(step, flush=True), time.sleep(60))\n"
        "synthesize(Path(sys.argv[1]), SynthSpec(duration_s=1.0), stop)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"(1,")
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob("*.zip")) == []
    synthesize(path, SMALL)
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    free = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("shutil.disk_usage", lambda place: free)
    with pytest.raises(ParameterError, match=r"7 recordings take 0\.0 GB"):
        synthesize(tmp_path / "a.zip", SMALL)
    assert list(tmp_path.iterdir()) == []
