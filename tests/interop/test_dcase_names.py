"""The names that the challenge gives its files, year by year."""

import pytest

from alp_assets.interop.dcase_names import Name, attributes_in, parse_name


@pytest.mark.parametrize(
    ("folder", "stem", "told"),
    [
        ("train", "normal_id_01_00000000", Name("01", "train", "source", "normal", year=2020)),
        ("test", "anomaly_id_06_00000263", Name("06", "test", "source", "anomaly", year=2020)),
        ("test", "id_05_00000001", Name("05", "test", "source", "unknown", year=2020)),
        (
            "train",
            "section_00_source_train_normal_0000_strength_1_ambient",
            Name("00", "train", "source", "normal", attributes="strength_1_ambient"),
        ),
        (
            "target_test",
            "section_02_target_test_anomaly_0099",
            Name("02", "test", "target", "anomaly", year=2021),
        ),
        ("source_test", "section_03_source_test_0000", Name("03", "test", "source", "unknown", year=2021)),
        (
            "test",
            "section_01_target_test_normal_0049_n-lv_L4",
            Name("01", "test", "target", "normal", attributes="n-lv_L4", year=2022),
        ),
        ("test", "section_03_test_0199", Name("03", "test", year=2022)),
        ("test", "section_00_0199", Name("00", "test", year=2022)),
        (
            "train",
            "section_00_target_train_normal_0009_noAttribute",
            Name("00", "train", "target", "normal", attributes="noAttribute"),
        ),
        ("supplemental", "section_00_machine_0001_", Name("00", "supplemental", supp_type="machine", year=2025)),
        ("supplemental", "section_00_clean_0001", Name("00", "supplemental", supp_type="machine", year=2025)),
        ("supplemental", "section_00_noise_0100", Name("00", "supplemental", supp_type="noise", year=2025)),
        (
            "supplemental",
            "section_00_machine_source_0000_noAttribute",
            Name("00", "supplemental", "source", supp_type="machine", attributes="noAttribute", year=2025),
        ),
    ],
)
def test_a_name_tells_all_that_is_known_of_a_recording(folder, stem, told):
    assert parse_name(stem, folder) == told


@pytest.mark.parametrize(
    ("folder", "stem", "why"),
    [
        ("train", "anomaly_id_01_00000000", "does not say normal"),
        ("train", "id_01_00000000", "does not say normal"),
        ("source_test", "normal_id_01_00000000", "train and test"),
        ("train", "section_00_source_train_anomaly_0000_m-n_W", "does not say normal"),
        ("train", "section_00_0000", "does not say normal"),
        ("test", "section_00_source_train_normal_0000_m-n_W", "one for train, and its folder is test"),
        ("train", "section_00_source_test_normal_0000_m-n_W", "one for test, and its folder is train"),
        ("source_test", "section_00_target_test_normal_0000", "says target"),
        ("test", "section_00_noise_0000", "folder supplemental"),
        ("supplemental", "section_00_0000", "folder is supplemental"),
        ("train", "section_xx_source_train_normal_0000", "none that"),
        ("test", "recording 1", "none that"),
        ("test", "", "none that"),
    ],
)
def test_a_name_that_fits_no_rule_says_why(folder, stem, why):
    with pytest.raises(ValueError, match=why):
        parse_name(stem, folder)


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("car_A1_spd_28V_mic_1_noise_1", {"car": "A1", "spd": "28V", "mic": "1", "noise": "1"}),
        ("m-n_W", {"m-n": "W"}),
        ("vel_2.4_", {"vel": "2.4"}),
        ("temp_-5", {"temp": "-5"}),
        ("strength_1_ambient", {"attributes": "strength_1_ambient"}),
        ("3V_50mm", {"attributes": "3V_50mm"}),
        ("mic_1_mic_2", {"attributes": "mic_1_mic_2"}),
        ("noAttribute", {}),
        ("", {}),
        ("_", {}),
    ],
)
def test_attributes_at_the_end_of_a_name_are_pairs_or_stay_one_text(text, attributes):
    assert attributes_in(text) == attributes
