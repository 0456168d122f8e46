"""Tables of attributes, and where their words stand in the contract."""

import json

import pytest

from alp_assets.interop.attributes import conditions, read_attributes
from schemas.columns import COLUMN_NAMES
from tests.interop.trees import attribute_table


def table_of(tmp_path, data):
    path = tmp_path / "fan" / "attributes_00.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return read_attributes(path, tmp_path)


def test_a_table_tells_the_attributes_of_each_file_by_its_name(tmp_path):
    data = attribute_table(["fan/train/a.wav", "fan\\test\\b.wav", "c.wav"], vel="6", mic="1")
    told = {"vel": "6", "mic": "1"}
    assert table_of(tmp_path, data).conditions == {"a.wav": told, "b.wav": told, "c.wav": told}


def test_marks_blank_lines_and_what_is_not_told_are_left_off(tmp_path):
    data = b"\xef\xbb\xbfFile_Name,d1p,d1v,d2p,d2v\r\nfan/train/a.wav,spd,28V,noise,noAttribute\r\n,,,,\r\n"
    assert table_of(tmp_path, data).conditions == {"a.wav": {"spd": "28V"}}
    assert not table_of(tmp_path, data).findings


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no column file_name"),
        (b"name,d1p,d1v\na.wav,vel,6\n", "no column file_name"),
        (b"file_name,d1p\na.wav,vel\n", "d1p and no d1v"),
        (b"file_name,d1p,d1v\na.wav,\xff\xfe,6\n", "cannot be read"),
    ],
)
def test_a_wrong_table_is_a_finding_that_names_it(tmp_path, data, why):
    table = table_of(tmp_path, data)
    (finding,) = table.findings
    assert finding.file == "fan/attributes_00.csv"
    assert why in finding.problem
    assert not table.conditions


def test_wrong_rows_are_findings_and_the_others_count(tmp_path):
    table = table_of(tmp_path, b"file_name,d1p,d1v\na.wav,vel,6\nb.wav,vel\na.wav,vel,7\nc.wav,vel,8\n")
    assert table.conditions == {"a.wav": {"vel": "6"}, "c.wav": {"vel": "8"}}
    assert [finding.row for finding in table.findings] == [3, 4]


def test_known_words_become_conditions_of_the_contract_and_others_stay_together():
    found = conditions({"spd": "28V", "mic": "1", "noise": "2", "wt": "50", "car": "A1", "전압": "3"})
    assert json.loads(found.pop("operating_condition")) == {"car": "A1", "전압": "3"}
    assert found == {"speed_level": "28V", "mic_position_id": "1", "noise_id": "2", "load_level": "50"}
    assert set(found) <= set(COLUMN_NAMES)


def test_two_words_for_one_column_do_not_overwrite_each_other():
    found = conditions({"m-n": "W", "f-n": "A"})
    assert found == {"noise_id": "W", "operating_condition": '{"f-n": "A"}'}


def test_a_microphone_is_added_to_the_place_that_is_told():
    assert conditions({}, "near") == {"mic_position_id": "near"}
    assert conditions({"mic": "2"}, "far") == {"mic_position_id": "2 far"}
    assert conditions({}) == {}
