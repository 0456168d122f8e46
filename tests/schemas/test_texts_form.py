"""The texts of the collection form: the same in both languages, and words that the contract takes."""

import re

import pytest

from schemas.columns import COLUMNS, FALSE_WORDS, TRUE_WORDS, fold_header
from schemas.form import EXAMPLE_MARKS, is_example
from schemas.machines import MACHINE_TYPE_NAMES
from schemas.texts import LANGUAGES, read_texts

BY_NAME = {column.name: column for column in COLUMNS}
GAP = re.compile(r"\{(\w+)\}")


def leaves(tree, path=()):
    """Every text with where it is; lists of text count as one."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


@pytest.fixture(params=LANGUAGES)
def texts(request):
    return read_texts("form", request.param)


def test_both_languages_say_the_same_things():
    english, korean = (dict(leaves(read_texts("form", language))) for language in LANGUAGES)
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert type(text) is type(korean[key]), key
        if key[-1] in ("operating_condition",) or key[-2:] == ("operating_condition", "help"):
            continue  # JSON, whose braces are no gaps
        assert sorted(set(GAP.findall(str(text)))) == sorted(set(GAP.findall(str(korean[key])))), key


def test_no_text_is_empty(texts):
    for key, text in leaves(texts):
        for line in text if isinstance(text, list) else [text]:
            assert line.strip() == line != "", key


def test_korean_is_korean():
    hangul = re.compile("[가-힣]")
    same_everywhere = {"example_section", "day", "distance", "mic_position_id"}
    for key, text in leaves(read_texts("form", "ko")):
        for line in text if isinstance(text, list) else [text]:
            assert hangul.search(line) or key[-1] in same_everywhere, key


def test_every_machine_type_has_its_guidance(texts):
    assert set(texts["machines"]) == set(MACHINE_TYPE_NAMES)
    guidance = [tuple(machine["place"] + machine["run"]) for machine in texts["machines"].values()]
    assert len(set(guidance)) == len(MACHINE_TYPE_NAMES)


def test_headers_are_names_that_the_contract_takes(texts):
    columns = texts["sheet"]["columns"]
    assert set(columns) == set(BY_NAME)
    for name, words in columns.items():
        column = BY_NAME[name]
        assert fold_header(words["header"]) in {fold_header(word) for word in (name, *column.aliases)}, name


def test_choices_are_words_that_the_contract_takes(texts):
    values = texts["sheet"]["values"]
    for name, words in values.items():
        allowed = dict(BY_NAME[name].values)
        assert set(words) == set(allowed), name
        for value, word in words.items():
            assert fold_header(word) in {fold_header(known) for known in (value, *allowed[value])}
            assert "," not in word  # it parts the choices of a drop-down
    assert {column.name for column in COLUMNS if column.values} == set(values)
    assert texts["sheet"]["yes"] in TRUE_WORDS
    assert texts["sheet"]["no"] in FALSE_WORDS


def test_the_choices_fit_a_drop_down(texts):
    for words in texts["sheet"]["values"].values():
        assert len(",".join(words.values())) < 250  # Excel takes 255 characters


def test_the_example_is_marked_as_such(texts):
    assert texts["sheet"]["mark"].lower() in EXAMPLE_MARKS
    assert is_example(f"  {texts['sheet']['mark']} audio/1.wav")
    assert not is_example("audio/example: 1.wav")
