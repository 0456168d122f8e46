"""The texts of the form for signals: the same in both languages, and only over texts that there are."""

import re

import pytest

from alp_assets.signals.roles import role_of
from schemas.columns import COLUMNS, fold_header
from schemas.texts import LANGUAGES, read_texts

GAP = re.compile(r"\{(\w+)\}")
OWN = ("signals", "suggested_channels", "channels", "instrument", "formats")
BY_NAME = {column.name: column for column in COLUMNS}


def leaves(tree, path=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


@pytest.fixture(params=LANGUAGES)
def texts(request):
    return read_texts("form_signals", request.param)


def test_both_languages_say_the_same_things():
    english, korean = (dict(leaves(read_texts("form_signals", language))) for language in LANGUAGES)
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert len(text) == len(korean[key]) if isinstance(text, list) else True, key
        assert sorted(set(GAP.findall(str(text)))) == sorted(set(GAP.findall(str(korean[key])))), key
        assert re.search("[가-힣]", str(korean[key])), key


def test_nothing_is_written_over_that_the_other_form_does_not_have(texts):
    known = dict(leaves(read_texts("form", "en")))
    for key, _ in leaves(texts):
        assert key in known or key[0] == "signals" or key[-1] in OWN or key[1].startswith("signal_"), key


def test_headers_are_names_that_the_contract_takes(texts):
    for name, words in texts["sheet"]["columns"].items():
        column = BY_NAME[name]
        if "header" in words:
            assert fold_header(words["header"]) in {fold_header(word) for word in (name, *column.aliases)}


def test_suggested_channels_are_roles(texts):
    for text in texts["sheet"]["suggested_channels"]:
        names = text.split(", ")
        assert any(all(role_of(name, modality) for name in names) for modality in ("current", "vibration")), text
