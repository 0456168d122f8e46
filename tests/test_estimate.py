"""What a planned delivery comes to."""

import json
import math
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.form import estimate as command
from alp_assets.errors import ParameterError
from alp_assets.estimate import Plan, estimate
from alp_assets.params import Params, with_overrides
from schemas.texts import LANGUAGES, read_texts

PARAMS = Params()
MEASURED = Path(__file__).parent.parent / "bench" / "results"


def fan(**plan):
    return Plan(("fan",), **plan)


def outlook(plan, params=PARAMS, encoder="logmel"):
    return {engine.letter: engine for engine in estimate(plan, params, encoder).engines}


def test_one_clip_takes_0_32_mb():
    found = estimate(fan(minutes=10 / 60), PARAMS, "logmel").total
    assert (found.clips, found.raw_bytes, found.standard_bytes) == (1, 320_000, 320_000)


def test_a_thousand_clips_take_320_mb():
    found = estimate(fan(conditions=1000, minutes=10 / 60), PARAMS, "logmel").total
    assert (found.clips, found.standard_bytes) == (1000, 320_000_000)


def test_three_conditions_of_three_minutes_are_54_clips():
    found = estimate(fan(conditions=3, minutes=3), PARAMS, "logmel")
    assert found.total == found.machine
    assert (found.total.clips, found.total.raw_bytes, found.total.hours) == (54, 17_280_000, 0.15)


def test_figures_grow_with_machines_rate_channels_and_bits():
    plan = Plan(("fan", "pump"), sections=3, conditions=2, minutes=1, sample_rate_hz=48_000, channels=2, bits=24)
    found = estimate(plan, PARAMS, "logmel")
    assert plan.machines == 6
    assert found.machine.raw_bytes == 120 * 48_000 * 2 * 3
    assert found.total.raw_bytes == 6 * found.machine.raw_bytes
    assert found.total.standard_bytes == 6 * 12 * 320_000
    assert found.total.hours == pytest.approx(0.2)


def test_recordings_are_cut_one_by_one():
    # 60 s in seven files of 8.6 s: each is padded to a clip
    assert estimate(fan(minutes=1, recordings=7), PARAMS, "logmel").total.clips == 7
    # 25 s: two clips and half a one; 20.5 s: the rest is too short to count
    assert estimate(fan(minutes=25 / 60), PARAMS, "logmel").total.clips == 3
    assert estimate(fan(minutes=20.5 / 60), PARAMS, "logmel").total.clips == 2


def test_noise_counts_for_storage_and_not_for_engines():
    plan = fan(minutes=10 / 60, noise_minutes=2)
    found = estimate(plan, PARAMS, "logmel")
    assert (found.total.normal_clips, found.total.noise_clips) == (1, 12)
    assert not any(engine.possible for engine in found.engines)


def test_a_single_clip_opens_no_engine():
    engines = outlook(fan(minutes=10 / 60))
    assert not any(engine.possible or engine.automatic for engine in engines.values())
    assert "2 normal clips" in engines["B"].note


@pytest.mark.parametrize(
    ("clips", "encoder", "letter"),
    [(3, "ast", "A"), (9, "ast", "A"), (10, "ast", "B"), (3, "logmel", "B"), (60, "ast", "B")],
)
def test_auto_takes_what_onboarding_would(clips, encoder, letter):
    engines = outlook(fan(minutes=clips / 6), encoder=encoder)
    assert [engine.letter for engine in engines.values() if engine.automatic] == [letter]
    assert all(engines[name].possible for name in ("A", "B", "L1", "L2"))


@pytest.mark.parametrize(
    ("plan", "possible"),
    [
        ({"conditions": 3, "minutes": 3, "recordings": 2}, True),
        ({"conditions": 3, "minutes": 3, "recordings": 1}, False),  # one file each: nothing left to hold out
        ({"conditions": 1, "minutes": 30, "recordings": 2}, False),  # nothing to tell apart
        ({"conditions": 2, "minutes": 1, "recordings": 2}, False),  # 12 clips
    ],
)
def test_engine_c_needs_conditions_files_and_clips(plan, possible):
    found = outlook(fan(**plan))["C"]
    assert found.possible is possible
    assert not found.automatic
    assert ("auto+c" if possible else "50 normal clips") in found.note


def test_the_rules_of_the_parameters_hold():
    params = with_overrides(PARAMS, {"models.selection.much_source": 10, "models.min_normals": 5})
    assert outlook(fan(conditions=2, minutes=1, recordings=2), params)["C"].possible
    assert not outlook(fan(minutes=4 / 6), params)["B"].possible


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ({"sample_rate_hz": 4000}, "8,000 Hz"),
        ({"minutes": 0.5 / 60}, "too short"),
        ({"minutes": 10_000}, "too long"),
        ({"channels": 65}, "channels"),
    ],
)
def test_recordings_that_would_be_set_aside_count_for_nothing(plan, word):
    found = estimate(fan(**plan), PARAMS, "logmel")
    assert (found.total.clips, found.total.standard_bytes) == (0, 0)
    assert found.total.raw_bytes > 0
    assert not any(engine.possible for engine in found.engines)
    [warning] = found.warnings
    assert "set aside" in warning
    assert word in warning


def test_what_a_plan_loses_is_said():
    assert "4,000 Hz" in estimate(fan(sample_rate_hz=8000), PARAMS, "logmel").warnings[0]
    assert "padded" in estimate(fan(minutes=0.1), PARAMS, "logmel").warnings[0]
    assert "200 GiB" in estimate(fan(sections=9000, conditions=100), PARAMS, "logmel").warnings[0]
    assert estimate(fan(), PARAMS, "logmel").warnings == ()


def test_the_largest_plan_is_worked_out_at_once():
    plan = fan(sections=1_000_000, conditions=1_000_000, minutes=200, recordings=1)
    found = estimate(plan, PARAMS, "ast")
    assert found.total.clips == 1_200_000_000 * 1_000_000
    assert math.isfinite(found.compute_s)


@pytest.mark.parametrize(
    "plan",
    [
        {"sections": 0},
        {"conditions": -1},
        {"recordings": 0},
        {"channels": 0},
        {"minutes": 0.0},
        {"minutes": math.nan},
        {"minutes": math.inf},
        {"noise_minutes": -1.0},
        {"sample_rate_hz": 0},
        {"bits": 12},
        {"sections": 10**9},
    ],
)
def test_figures_that_no_plan_can_have_are_refused_by_name(plan):
    [name] = plan
    with pytest.raises(ParameterError, match=name):
        fan(**plan)


def test_a_plan_without_machine_types_is_refused():
    with pytest.raises(ParameterError, match="machine type"):
        Plan(())


# Computing time


def test_computing_time_is_that_of_the_measured_package():
    measured = json.loads((MEASURED / "onboarding.json").read_text())
    # 200 recordings of 10 s, 48 kHz, two channels, two machines
    plan = fan(sections=2, minutes=1000 / 60, recordings=100, sample_rate_hz=48_000, channels=2)
    found = estimate(plan, PARAMS, "logmel")
    assert found.total.clips == measured["clips"]
    assert found.total.raw_bytes / 1e6 == pytest.approx(measured["package_mb"], rel=0.05)
    assert found.compute_s == pytest.approx(measured["outside"]["wall_s"], rel=0.5)
    assert "onboarding.json" in found.basis


def test_a_pretrained_encoder_takes_what_was_measured():
    ways = json.loads((MEASURED / "encoders.json").read_text())["ways"]
    few, many = fan(minutes=9 / 6), fan(minutes=100)
    for plan, way in ((few, "ours"), (many, "ours, pooled")):
        more = estimate(plan, PARAMS, "ast").compute_s - estimate(plan, PARAMS, "logmel").compute_s
        assert more / estimate(plan, PARAMS, "ast").total.clips == pytest.approx(
            1 / ways[way]["clips_per_s"], rel=0.5
        )


def test_noise_makes_engine_a_embed_copies():
    plain, noisy = fan(minutes=0.5), fan(minutes=0.5, noise_minutes=10 / 60)
    more = estimate(noisy, PARAMS, "ast").compute_s - estimate(plain, PARAMS, "ast").compute_s
    assert more > 9  # a clip of noise, and three clips at three ratios


# The command


@pytest.fixture
def alp_estimate(tmp_path, monkeypatch):
    """`alp estimate` by itself, in a data root without weights."""
    for name in ("ALP_DATA", "ALP_PARAMS", "MPLCONFIGDIR", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("alp_assets.encoders.catalog.find_weights", lambda *anything: None)
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data")])


def test_the_command_tells_the_same_as_a_table_and_as_json(alp_estimate):
    plan = ("팬,pump", "--conditions", "3", "--minutes", "3", "--recordings", "2")
    told = json.loads(alp_estimate(*plan, "--json").stdout)
    assert told["machines"] == 2
    assert (told["machine"]["clips"], told["total"]["clips"]) == (54, 108)
    assert told["total"]["standard_bytes"] == 34_560_000
    assert {engine["letter"]: engine["possible"] for engine in told["engines"]}["C"]
    table = alp_estimate(*plan).stdout
    for text in ("2 machines", "108", "17.28 MB", "34.56 MB", "memory_bank", "onboarding.json"):
        assert text in table


def test_the_command_speaks_korean(alp_estimate):
    table = alp_estimate("fan", "--minutes", "0.1", "--lang", "ko").stdout
    for text in ("팬", "설비 1대당", "정상 클립", "채워 사용합니다", "onboarding.json"):
        assert text in table
    told = json.loads(alp_estimate("fan", "--lang", "ko", "--json").stdout)
    assert all(re.search("[가-힣]", engine["note"]) for engine in told["engines"])


def test_texts_are_the_same_in_every_language():
    keys = [{part: words.keys() for part, words in read_texts("estimate", name).items()} for name in LANGUAGES]
    assert all(other == keys[0] for other in keys)


def test_recordings_of_ten_seconds_are_not_called_padded():
    assert estimate(fan(minutes=9.9999 / 60), PARAMS, "logmel").warnings == ()


def test_the_command_refuses_what_it_does_not_know(alp_estimate):
    for arguments, word in (
        (("fna",), "fan"),
        (("fan", "--sections", "0"), "sections"),
        ((" ",), "pump"),
        (("fan", "--lang", "de"), "ko"),
    ):
        error = alp_estimate(*arguments).exception
        assert isinstance(error, ParameterError)
        assert word in str(error)
