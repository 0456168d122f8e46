"""What a planned delivery of motor current comes to."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.form import estimate as command
from alp_assets.errors import ParameterError
from alp_assets.estimate import SignalPlan, estimate_signals
from alp_assets.params import Params, with_overrides

PARAMS = Params()


def motor(**plan):
    return SignalPlan(("motor",), **plan)


def outlook(plan, params=PARAMS):
    return {engine.letter: engine for engine in estimate_signals(plan, params).engines}


def test_clips_hours_and_sizes_follow_from_rate_channels_and_bits():
    found = estimate_signals(motor(sections=2, conditions=3, minutes=1, recordings=6), PARAMS)
    # 18 recordings of 10 s at 10 kHz: 12 clips of 8,192 points each, four rows of float32
    assert found.machine.clips == 18 * 12
    assert found.machine.raw_bytes == 180 * 10_000 * 4 * 4
    assert found.machine.standard_bytes == 18 * 12 * 8192 * 4 * 4
    assert found.total.clips == 2 * found.machine.clips
    assert found.total.hours == pytest.approx(0.1)
    assert estimate_signals(motor(bits="csv"), PARAMS).machine.raw_bytes == pytest.approx(
        2 * estimate_signals(motor(), PARAMS).machine.raw_bytes
    )


def test_auto_takes_what_onboarding_would():
    engines = outlook(motor(recordings=6))
    assert [engine.letter for engine in engines.values() if engine.automatic] == ["S3"]
    assert all(engine.possible for engine in engines.values())
    much = with_overrides(PARAMS, {"models.selection.much_signal": 100})
    assert [engine.letter for engine in outlook(motor(recordings=6), much).values() if engine.automatic] == ["S1"]


def test_training_a_forecaster_takes_longer():
    much = with_overrides(PARAMS, {"models.selection.much_signal": 100})
    quick, slow = (estimate_signals(motor(recordings=6), params).compute_s for params in (PARAMS, much))
    assert slow > quick + 100


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ({"minutes": 0.5, "recordings": 60}, "8,192 points"),
        ({"channels": 1, "recordings": 5}, "three phases"),
        ({"recordings": 1}, "three or more"),
        ({"sections": 10_000, "conditions": 100, "recordings": 9}, "200 GiB"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(plan, word):
    found = estimate_signals(motor(**plan), PARAMS)
    assert word in found.warnings[0]
    if word == "8,192 points":
        assert found.total.clips == 0
        assert not any(engine.possible for engine in found.engines)


@pytest.mark.parametrize(
    "plan", [{"bits": "12"}, {"modality": "sound"}, {"channels": 0}, {"minutes": float("nan")}]
)
def test_figures_that_no_plan_can_have_are_refused_by_name(plan):
    [name] = plan
    with pytest.raises(ParameterError, match=name):
        motor(**plan)


@pytest.fixture
def alp_estimate(tmp_path, monkeypatch):
    for name in ("ALP_DATA", "ALP_PARAMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data")])


def test_the_command_tells_it_in_both_languages(alp_estimate):
    plan = ("motor", "--signals", "--sections", "3", "--recordings", "6")
    table = alp_estimate(*plan).stdout
    for text in ("3 machines", "8,192 points", "259.20 MB", "signal_spectrum", "auto"):
        assert text in table
    told = json.loads(alp_estimate(*plan, "--lang", "ko", "--bits", "16", "--json").stdout)
    assert told["total"]["raw_bytes"] == 129_600_000
    assert all(re.search("[가-힣]", engine["note"]) for engine in told["engines"])


@pytest.mark.parametrize("arguments", [("--noise-minutes", "1"), ("--bits", "7")])
def test_the_command_refuses_what_signals_do_not_have(alp_estimate, arguments):
    assert isinstance(alp_estimate("motor", "--signals", *arguments).exception, ParameterError)


def test_text_is_no_form_of_sound(alp_estimate):
    assert isinstance(alp_estimate("motor", "--bits", "csv").exception, ParameterError)
