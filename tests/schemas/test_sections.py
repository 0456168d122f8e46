"""Sections, and the folders that their models lie in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.machines import MACHINE_TYPES
from schemas.metadata import MAX_SECTION_LENGTH
from schemas.sections import SLUG, Section

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_SECTION_LENGTH)
NASTY = st.text(st.sampled_from("a1~=_-./ 2fé가\u0301"), min_size=1, max_size=12)


def _folder(section_id, machine_type="fan"):
    return Section("acme", machine_type, section_id).folder


@pytest.mark.parametrize(
    ("section_id", "folder"),
    [
        ("00", "fan__00"),
        ("1호기", "fan__1호기"),
        ("Fan_A-2", "fan__Fan_A-2"),
        ("A/B", "fan__A~2f~B"),
        ("동관 #3", "fan__동관~20~~23~3"),
        ("..", "fan__~2e~~2e~"),
        ("~", "fan__~7e~"),
    ],
)
def test_letters_stay_and_the_rest_is_escaped(section_id, folder):
    assert _folder(section_id) == folder


def test_both_ways_to_write_a_letter_are_one_folder():
    assert _folder(unicodedata.normalize("NFD", "1호기")) == _folder("1호기")


@given(first=st.one_of(IDS, NASTY), second=st.one_of(IDS, NASTY))
@example(first="A/B", second="A~2f~B")
@example(first="~2f~", second="/")
@example(first="!" * 64, second="!" * 63 + "?")
def test_other_sections_have_other_folders(first, second):
    one, other = (unicodedata.normalize("NFC", text) for text in (first, second))
    assert (_folder(first) == _folder(second)) is (one == other)


@given(section_id=st.one_of(IDS, NASTY))
@example(section_id="../../etc/passwd")
@example(section_id="\U0001f3ed" * MAX_SECTION_LENGTH)
@example(section_id="\U00020000" * MAX_SECTION_LENGTH)
@example(section_id=" " * MAX_SECTION_LENGTH)
def test_a_folder_name_is_safe_and_fits_any_file_system(section_id):
    folder = _folder(section_id, "compressor")
    assert not set(folder) & set('/\\:*?"<>|. \0\n\t')
    assert folder.isprintable()
    assert unicodedata.is_normalized("NFC", folder)
    assert len(folder.encode()) <= 240
    assert folder.startswith("compressor__")


def test_machine_types_never_share_a_folder():
    assert len({_folder("1", machine.name) for machine in MACHINE_TYPES}) == len(MACHINE_TYPES)
    assert not any("__" in machine.name for machine in MACHINE_TYPES)


@given(section_id=IDS)
def test_a_section_is_read_back_from_its_text(section_id):
    section = Section("acme", "fan", section_id)
    assert Section.parse(str(section)) == section


@pytest.mark.parametrize("text", ["", "acme", "acme/fan", "acme/fan/", "/fan/1", "acme//1"])
def test_what_is_no_section_is_refused_in_words(text):
    with pytest.raises(ValueError, match="write customer/machine_type/section_id"):
        Section.parse(text)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("acme", True), ("a-1", True), ("7up", True), ("-a", False), ("Acme", False), ("a_b", False), ("", False)],
)
def test_slugs(name, fits):
    assert bool(SLUG.fullmatch(name)) is fits
