"""Finding the file that a cell of the table means."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alp_assets.intake.paths import PathResolver, clean_path

FAN = "audio/1호기/Fan_01.wav"
NAMES = [FAN, "audio/2호기/fan_02.wav", "audio/pump.flac", "audio/Röhre.wav", "signals/motor.csv"]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (FAN, FAN),
        ("audio\\1호기\\Fan_01.wav", FAN),
        ("./audio/1호기/Fan_01.wav", FAN),
        ("/audio/1호기/Fan_01.wav", FAN),
        (".\\audio//1호기/Fan_01.wav", FAN),
        ("AUDIO/1호기/FAN_01.WAV", FAN),
        (unicodedata.normalize("NFD", FAN), FAN),
        ("audio/röhre.wav", "audio/Röhre.wav"),
        (unicodedata.normalize("NFD", "AUDIO/RÖHRE.WAV"), "audio/Röhre.wav"),
        ("1호기/Fan_01.wav", FAN),
        ("motor.csv", "signals/motor.csv"),
        ("package/audio/pump.flac", "audio/pump.flac"),
        ("C:\\Users\\kim\\녹음\\audio\\pump.flac", "audio/pump.flac"),
        ("audio/pump", "audio/pump.flac"),
        ("PUMP", "audio/pump.flac"),
        ("fan_02.wav", "audio/2호기/fan_02.wav"),
        ("fan_02", "audio/2호기/fan_02.wav"),
        ('  "audio/pump.flac" ', "audio/pump.flac"),
    ],
)
def test_what_people_write_is_found(cell, name):
    found = PathResolver(NAMES).resolve(cell)
    assert found.name == name
    assert (found.code, found.values) == ("", {})


@pytest.mark.parametrize(
    "cell",
    [
        "",
        ".",
        "/",
        "audio",
        "audio/pump.wav",
        "3호기/Fan_01.wav",
        "../audio/pump.flac",
        "audio/../audio/pump.flac",
    ],
)
def test_what_means_no_file_is_not_guessed(cell):
    found = PathResolver(NAMES).resolve(cell)
    assert found.name is None
    assert found.candidates == ()
    assert found.code == ("recording_near" if found.near else "recording_missing")


def test_near_misses_are_suggested():
    found = PathResolver(NAMES).resolve("audio/2호기/fan_2.wav")
    assert found.near[0] == "audio/2호기/fan_02.wav"
    assert found.code == "recording_near"
    assert "audio/2호기/fan_02.wav" in found.values["names"]


def test_another_folder_is_suggested_and_not_taken():
    found = PathResolver(["audio/line1/01.wav"]).resolve("audio/line2/01.wav")
    assert found.name is None
    assert found.near == ("audio/line1/01.wav",)


@pytest.mark.parametrize(
    ("names", "cell"),
    [
        (["audio/a/1.wav", "audio/b/1.wav"], "1.wav"),
        (["audio/a.wav", "audio/a.flac"], "audio/a"),
        (["audio/A.wav", "audio/a.wav"], "audio/a.WAV"),
        (["audio/a.wav", "signals/a.wav"], "a.wav"),
    ],
)
def test_ambiguous_paths_name_their_candidates(names, cell):
    found = PathResolver(names).resolve(cell)
    assert found.name is None
    assert set(found.candidates) == set(names)
    assert found.code == "recording_ambiguous"
    assert set(found.values["names"]) == set(names)


@pytest.mark.parametrize(
    ("names", "cell", "name"),
    [
        (["audio/A.wav", "audio/a.wav"], "audio/a.wav", "audio/a.wav"),
        (["audio/A.wav", "audio/a.wav"], "a.wav", "audio/a.wav"),
        (["audio/1.wav", "audio/x/1.wav"], "1.wav", "audio/1.wav"),
        (["1.wav", "audio/1.wav"], "1.wav", "1.wav"),
        (["audio/take", "audio/take.wav"], "audio/take", "audio/take"),
        (["audio/v1.2.wav"], "audio/v1.2", "audio/v1.2.wav"),
    ],
)
def test_closer_readings_go_first(names, cell, name):
    assert PathResolver(names).resolve(cell).name == name


def test_clean_path():
    assert clean_path(" .\\audio\\\\x/./1.wav ") == "audio/x/1.wav"
    assert clean_path("D:\\rec\\1.wav") == "rec/1.wav"


def test_a_table_of_wrong_paths_is_quick():
    names = [f"audio/line{i % 7}/fan_{i:05d}.wav" for i in range(20_000)]
    resolver = PathResolver(names)
    start = time.process_time()
    assert not any(resolver.resolve(name.replace("fan", "fun")).name for name in names)
    assert time.process_time() - start < 60


PART = st.text("abcxyzABC가나다펌프éüÅ012 _-", min_size=1, max_size=6).filter(lambda part: part == part.strip())
NAME = st.tuples(PART, PART).map(lambda parts: f"audio/{parts[0]}/{parts[1]}.wav")


@settings(deadline=None, max_examples=50)
@given(st.lists(NAME, min_size=1, max_size=8, unique_by=lambda name: name.casefold()), st.data())
def test_mangled_paths_are_found_again(names, data):
    names = [unicodedata.normalize("NFC", name) for name in names]
    name = data.draw(st.sampled_from(names))
    cell = data.draw(st.sampled_from([str, str.upper, str.lower, str.swapcase]))(name)
    cell = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), cell)
    cell = data.draw(st.sampled_from(["", "./", "/", "top/"])) + cell
    cell = cell.replace("/", data.draw(st.sampled_from(["/", "\\"])))
    assert PathResolver(names).resolve(cell).name == name


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=12), max_size=6), st.text(max_size=12))
def test_any_text_resolves_to_a_name_or_none(names, cell):
    assert PathResolver(names).resolve(cell).name in {*names, None}


def test_names_longer_than_any_disk_takes_are_found_and_not_compared():
    letters = [chr(0xAC00 + number) for number in range(500)]
    names = [f"audio/{''.join(letters[turn:] + letters[:turn]) * 100}{turn}.wav" for turn in range(40)]
    resolver = PathResolver(names)
    assert resolver.resolve(names[7]).name == names[7]
    assert [resolver.resolve(f"{name}x").code for name in names] == ["recording_missing"] * 40
