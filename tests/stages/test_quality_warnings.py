"""What recordings are warned of once they are all heard: never a reason to set one aside."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from scipy.signal import butter, sosfilt

from alp_assets.audio.profile import PROFILE_SIZE
from alp_assets.params import with_overrides
from alp_assets.stages.quality import OK, PROFILES_FILE, quality_problems, read_quality
from schemas.texts import LANGUAGES
from tests.packages import FAST, RATE, audio, receive, row, run_through, table, tree, zipped

SECONDS = 5
MARKS = {"1": (300, 900), "2": (1_200, 2_600), "3": (3_000, 5_500)}


def machine(section, seed, *, level=0.1, seconds=SECONDS):
    """A machine that is told by the band in which it is loudest."""
    rng = np.random.default_rng(1_000 * int(section) + seed)
    sound = rng.standard_normal(seconds * RATE)
    band = sosfilt(butter(2, MARKS[section], "band", fs=RATE, output="sos"), rng.standard_normal(sound.size))
    return (level * rng.uniform(0.9, 1.1) * (0.2 * sound + band / band.std())).astype(np.float32)


def lines(*parts, seconds=SECONDS):
    time = np.arange(seconds * RATE) / RATE
    return sum(size * np.sin(2 * np.pi * hz * time + hz) for hz, size in parts)


class Package:
    """Recordings of three machines, to which a test adds its own."""

    def __init__(self, normals=6, sections="123"):
        self.files, self.rows = {}, []
        for section in sections:
            for number in range(normals):
                self.add(f"{section}/{number}.wav", machine(section, number), section_id=section)

    def add(self, name, sound, **more):
        data = sound if isinstance(sound, bytes) else audio(sound)
        self.files[f"audio/{name}"] = data
        self.rows = [item for item in self.rows if item["relative_path"] != f"audio/{name}"]
        self.rows.append(row(f"audio/{name}", **{"section_id": name[0], **more}))

    def measured(self, path, params=FAST, package="first"):
        archive = zipped(path / f"{package}.zip", {**self.files, "metadata.csv": table(self.rows)})
        folder = receive(path / "data", archive, package=package)
        summary = run_through(folder, until="quality", params=params)["quality"]
        assert summary.passed
        assert (read_quality(folder)["verdict"] == OK).all()
        return folder, {gate.name: gate for gate in summary.gates}


def told(folder):
    """Codes and files of the problems, each of which has its words in every language."""
    problems = quality_problems(folder)
    assert all(problem.severity == "warning" for problem in problems)
    assert all(all(problem.told(language)) for problem in problems for language in LANGUAGES)
    return [(problem.code, problem.file) for problem in problems]


@pytest.fixture
def package():
    return Package()


def test_good_recordings_are_warned_of_nothing(tmp_path, package):
    package.add("1/broken.wav", machine("1", 50) + 0.4 * machine("3", 51), split="test", label="anomaly")
    package.add("1/loud.wav", machine("1", 52, level=0.2), split="test", label="unknown")
    folder, gates = package.measured(tmp_path)
    assert told(folder) == []
    assert {gate.status for gate in gates.values()} == {"passed"}
    assert gates["drift"].text == "No earlier package to compare with."


def test_the_machine_is_held_against_the_noise_of_its_microphone(tmp_path, package):
    def noise(seed):
        return 0.03 * np.random.default_rng(seed).standard_normal(SECONDS * RATE)

    for name, place, level in (("near", "a", 0.1), ("far", "b", 0.01)):
        seed = ord(place)
        package.add(f"1/{name}.wav", level * machine("1", 60, level=1.0) + noise(seed), mic_position_id=place)
        silent = {"split": "supplemental", "supp_type": "noise", "mic_position_id": place}
        package.add(f"1/noise-{name}.wav", noise(seed + 10), **silent)
    folder, gates = package.measured(tmp_path)
    found = read_quality(folder).set_index("recording")["snr_estimate_db"]
    assert found["audio/1/near.wav"] == pytest.approx(10.5, abs=1)
    assert found["audio/1/far.wav"] == pytest.approx(-9.5, abs=1.5)
    assert found[[name for name in found.index if name.startswith("audio/2") or "noise" in name]].isna().all()
    assert told(folder) == [("snr_low", "audio/1/far.wav")]
    assert gates["signal_to_noise"].status == "warned"
    assert gates["signal_to_noise"].figures["warned"] == 1


HUM = ((60, 0.05), (180, 0.03), (300, 0.02))


def test_hum_is_warned_of(tmp_path, package):
    package.add("1/hum.wav", machine("1", 61) + lines(*HUM))
    folder, gates = package.measured(tmp_path)
    assert told(folder) == [("mains_hum", "audio/1/hum.wav")]
    assert read_quality(folder).set_index("recording").loc["audio/1/hum.wav", "hum_hz"] == 60
    assert gates["mains_hum"].figures["highest_hum_db"] > -10


@pytest.mark.parametrize(("noise_hums", "count"), [(False, 0), (True, 7)])
def test_what_hums_always_and_not_in_its_noise_is_the_machine(tmp_path, noise_hums, count):
    package = Package(normals=0)
    for number in range(6):
        package.add(f"1/{number}.wav", machine("1", number) + lines(*HUM))
    quiet = 0.02 * np.random.default_rng(1).standard_normal(SECONDS * RATE)
    package.add("1/noise.wav", quiet + noise_hums * lines(*HUM), split="supplemental", supp_type="noise")
    folder, _ = package.measured(tmp_path)
    assert len([code for code, _ in told(folder) if code == "mains_hum"]) == count


def test_wind_and_thumps_are_warned_of_unless_the_machine_strikes(tmp_path, package):
    time = np.arange(RATE // 2) / RATE
    thump = 1.0 * np.sin(2 * np.pi * 25 * time) * np.exp(-8 * time)

    def struck(sound, at):
        sound[at : at + thump.size] += thump
        return np.clip(sound, -0.99, 0.99)

    package.add("1/thump.wav", struck(machine("1", 62), 30_000))
    for number in range(6):
        package.add(f"2/{number}.wav", struck(machine("2", number), 20_000 + 700 * number))
    folder, gates = package.measured(tmp_path)
    assert told(folder) == [("gusts", "audio/1/thump.wav")]
    assert gates["wind_and_handling"].status == "warned"


def test_runs_of_clipping_are_counted(tmp_path, package):
    sound = machine("1", 63)
    sound[[100, 101, 102, 500, 501, 9_000]] = 1.0
    package.add("1/clipped.wav", sound)
    folder, gates = package.measured(tmp_path)
    found = read_quality(folder).set_index("recording").loc["audio/1/clipped.wav"]
    assert (found["clipping_runs"], found["longest_clipping_ms"]) == (2, 3_000 / RATE)
    assert told(folder) == [("clipped_runs", "audio/1/clipped.wav")]
    assert gates["clipping"].figures["highest_clipping_runs"] == 2


def test_a_recording_with_another_gain_is_off_the_others(tmp_path, package):
    package.add("1/low.wav", machine("1", 64, level=0.05))
    package.add("2/bright.wav", np.diff(machine("2", 65), prepend=0))
    package.add("3/slow.wav", machine("3", 66, level=0.05), speed_level="low")
    folder, gates = package.measured(tmp_path)
    assert told(folder) == [("level_step", "audio/1/low.wav")]
    found = read_quality(folder).set_index("recording")["level_step_db"]
    assert found["audio/1/low.wav"] == pytest.approx(-6, abs=1)
    assert gates["steady_gain"].status == "warned"


def test_where_the_gain_was_changed_half_way_the_fewer_are_warned_of(tmp_path):
    package = Package(normals=7, sections="1")
    for number in range(3):
        package.add(f"1/late-{number}.wav", machine("1", 70 + number, level=0.2))
    folder, _ = package.measured(tmp_path)
    assert told(folder) == [("level_step", f"audio/1/late-{number}.wav") for number in range(3)]


def test_a_step_of_the_gain_inside_a_normal_recording(tmp_path, package):
    turned = machine("1", 67)
    turned[50_000:] *= 2
    package.add("1/turned.wav", turned, split="test", label="normal")
    package.add("1/fails.wav", turned[::-1], split="test", label="anomaly")
    folder, _ = package.measured(tmp_path)
    assert told(folder) == [("gain_step_inside", "audio/1/turned.wav")]


def encoded_anew(sound, form):
    stream = io.BytesIO()
    sf.write(stream, sound, RATE, format=form)
    stream.seek(0)
    return sf.read(stream, dtype="float32")[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 0.8 * x,
        lambda x: x[RATE:],
        lambda x: encoded_anew(x, "MP3"),
        lambda x: encoded_anew(x, "OGG"),
    ],
    ids=["scaled", "shifted", "mp3", "ogg"],
)
def test_copies_in_other_clothes_are_warned_of(tmp_path, package, change):
    package.add("1/copy.wav", change(machine("1", 2)))
    folder, gates = package.measured(tmp_path)
    assert told(folder) == [("near_copy", "audio/1/copy.wav")]
    copies = read_quality(folder).set_index("recording")["near_copy_of"]
    assert copies["audio/1/copy.wav"] == "audio/1/2.wav"
    assert gates["near_copies"].figures == {"warned": 1}


def test_one_sound_heard_by_two_microphones_is_no_copy(tmp_path):
    package = Package(normals=0)
    for number in range(4):
        for place in ("a", "b"):
            gain = 0.8 if place == "b" else 1
            package.add(f"1/{place}{number}.wav", gain * machine("1", number), mic_position_id=place)
    assert told(package.measured(tmp_path)[0]) == []


def test_swapped_recordings_fit_each_others_machines(tmp_path, package):
    package.add("1/5.wav", machine("2", 80))
    package.add("2/5.wav", machine("1", 81))
    folder, gates = package.measured(tmp_path)
    assert told(folder) == [("fits_other_section", "audio/1/5.wav"), ("fits_other_section", "audio/2/5.wav")]
    fits = read_quality(folder).set_index("recording")["fits_section"]
    assert (fits["audio/1/5.wav"], fits["audio/2/5.wav"]) == ("fan/2", "fan/1")
    assert gates["right_section"].status == "warned"


def test_machines_that_sound_the_same_accuse_nobody(tmp_path):
    package = Package(normals=0)
    for section in "12":
        for number in range(6):
            package.add(f"{section}/{number}.wav", machine("1", 10 * int(section) + number))
    assert told(package.measured(tmp_path)[0]) == []


def test_the_profiles_are_in_the_order_of_the_table_and_the_same_again(tmp_path):
    package = Package(normals=3)
    folder, _ = package.measured(tmp_path)
    profiles = np.load(folder.stage("quality") / PROFILES_FILE)
    assert profiles.shape == (len(read_quality(folder)), PROFILE_SIZE)
    first = tree(folder.stage("quality"))
    run_through(folder, until="quality", params=with_overrides(FAST, {"run.workers": 2}))
    assert tree(folder.stage("quality")) == first


def test_a_recording_that_cannot_be_read_has_an_empty_profile(tmp_path):
    package = Package(normals=4, sections="1")
    package.add("1/bad.wav", b"RIFF and no more")
    archive = zipped(tmp_path / "p.zip", {**package.files, "metadata.csv": table(package.rows)})
    folder = receive(tmp_path / "data", archive)
    run_through(folder, until="quality")
    bad = (read_quality(folder)["recording"] == "audio/1/bad.wav").to_numpy()
    profiles = np.load(folder.stage("quality") / PROFILES_FILE)
    assert np.isnan(profiles[bad]).all()
    assert np.isfinite(profiles[~bad]).all()


# Earlier packages


@pytest.fixture
def history(tmp_path):
    """A customer whose first package is done."""
    Package().measured(tmp_path)
    return tmp_path


def test_a_machine_that_sounds_as_before_has_not_drifted(history):
    later = Package(normals=0)
    for section in "12":
        for number in range(4):
            later.add(f"{section}/n{number}.wav", machine(section, 200 + number))
    folder, gates = later.measured(history, package="second")
    assert told(folder) == []
    assert gates["drift"].status == "passed"
    assert gates["drift"].figures["compared"] == 2


def test_a_machine_that_changed_is_told_of_by_name(history):
    later = Package(normals=0)
    for number in range(4):
        later.add(f"1/n{number}.wav", machine("3", 200 + number), section_id="1")
        later.add(f"2/n{number}.wav", machine("2", 200 + number))
    folder, gates = later.measured(history, package="second")
    (problem,) = quality_problems(folder)
    assert (problem.code, problem.values["section"], problem.row) == ("drift", "fan/1", None)
    assert "fan/1" in gates["drift"].text
    drifts = read_quality(folder).groupby("section_id")["section_drift_db"].first()
    assert drifts["1"] > 3 > drifts["2"]


def test_other_conditions_and_too_few_normals_are_not_compared(history):
    later = Package(normals=0)
    for number in range(4):
        later.add(f"1/n{number}.wav", machine("3", 200 + number), section_id="1", speed_level="high")
    later.add("2/n.wav", machine("3", 300), section_id="2")
    _, gates = later.measured(history, package="second")
    assert gates["drift"].figures == {"compared": 0, "warned": 0}


@pytest.mark.parametrize("damage", ["absent", "short", "garbage"])
def test_an_earlier_package_without_good_profiles_is_passed_over(history, damage):
    path = history / "data" / "packages" / "acme" / "first" / "quality" / PROFILES_FILE
    if damage == "absent":
        path.unlink()
    elif damage == "short":
        np.save(path, np.zeros((2, PROFILE_SIZE), np.float32))
    else:
        path.write_bytes(b"no array")
    _, gates = Package(normals=4, sections="1").measured(history, package="second")
    assert gates["drift"].text == "No earlier package to compare with."


def test_an_earlier_table_with_fewer_columns_is_read(history):
    path = history / "data" / "packages" / "acme" / "first" / "quality" / "quality.parquet"
    pd.read_parquet(path).drop(columns=["hum_db", "gusts_db"]).to_parquet(path, index=False)
    later = Package(normals=0)
    for number in range(4):
        later.add(f"1/n{number}.wav", machine("1", 200 + number))
    _, gates = later.measured(history, package="second")
    assert gates["drift"].figures["compared"] == 1
