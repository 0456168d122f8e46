"""``alp models`` and ``alp train``."""

import json
import os

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.errors import AlpError
from alp_assets.registry.records import State
from alp_assets.registry.registry import Registry, verify
from schemas.sections import Section
from tests.packages import audio, hum
from tests.registry.conftest import FAN, JANUARY

SECTION = "acme/fan/1호기"


@pytest.fixture
def alp(root, monkeypatch):
    """Run a command on the data root; what it prints."""
    monkeypatch.setenv("ALP_DATA", str(root))
    monkeypatch.setenv("USER", "jin")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(arguments))
        if isinstance(result.exception, AlpError):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in arguments else result.output

    return run


@pytest.fixture
def models(registry, fitted):
    settings = {"models": {"engine": "auto", "memory_bank": {"k": 3}}}
    registry.register(FAN, "january", JANUARY, fitted("one"), name="fan_v1")
    registry.register(
        FAN, "january", JANUARY, fitted("two", alarms_per_day=0.5, parameters=settings), name="fan_v2"
    )
    return registry


def test_list_shows_all_or_some(alp, models):
    assert "fan_v1" in alp("models", "list")
    listed = alp("models", "list", "--state", "candidate", "--json")["models"]
    assert [(item["name"], item["is_default"]) for item in listed] == [("fan_v2", False)]
    assert "No such model" in alp("models", "list", "--customer", "nobody")
    with pytest.raises(AlpError, match="is no state"):
        alp("models", "list", "--state", "best")


def test_show_tells_what_is_known(alp, models):
    models.save_threshold("fan_v1", 1.25, "quieter", "lee")
    assert "quieter" in alp("models", "show", "fan_v1")
    shown = alp("models", "show", "fan_v1", "--json")
    assert (shown["name"], shown["section"], shown["state"]) == ("fan_v1", SECTION, "champion")
    assert [item["value"] for item in shown["thresholds"]] == [1.0, 1.25]
    with pytest.raises(AlpError, match="there is no such model"):
        alp("models", "show", "fan_v9")


def test_a_threshold_is_set_with_who_and_why(alp, models):
    assert "fan_v1 of acme/fan/1호기 rings above -0.5 from now on" in alp("models", "threshold", "fan_v1", "-0.5")
    saved = alp("models", "threshold", "fan_v1", "1.5", "--who", "lee", "--why", "quieter", "--json")
    assert (saved["value"], saved["number"], saved["who"], saved["note"]) == (1.5, 2, "lee", "quieter")
    assert models.threshold(models.get("fan_v1").version) == 1.5
    with pytest.raises(AlpError, match="give a finite number"):
        alp("models", "threshold", "fan_v1", "nan")


def test_compare_shows_figures_and_the_parameters_that_differ(alp, models):
    found = alp("models", "compare", "fan_v1", "fan_v2", "--json")
    assert [item["calibration alarms_per_day"] for item in found["models"]] == [1.0, 0.5]
    assert found["parameters"] == {"models.memory_bank.k": [None, 3]}
    assert "models.memory_bank.k" in alp("models", "compare", "fan_v1", "fan_v2")
    assert "same parameters" in alp("models", "compare", "fan_v1", "fan_v1")
    with pytest.raises(AlpError, match="two models"):
        alp("models", "compare", "fan_v1")


def test_decisions_are_made_and_kept_with_who_and_why(alp, models):
    assert "champion: hears more" in alp("models", "promote", "fan_v2", "--why", "hears more")
    assert alp("models", "rollback", SECTION, "--who", "lee", "--json")["name"] == "fan_v1"
    assert alp("models", "pin", "fan_v2", "--json")["pinned"]
    assert not alp("models", "unpin", SECTION, "--json")["pinned"]
    assert "archived" in alp("models", "archive", "fan_v1", "--why", "old")
    assert alp("models", "describe", "fan_v2", "the better one", "--json")["description"] == "the better one"
    events = alp("models", "history", SECTION, "--json")
    assert [(item["who"], item["what"]) for item in events[:3]] == [
        ("jin", "described"),
        ("jin", "unpinned"),
        ("jin", "pinned"),
    ]
    assert any(item["who"] == "lee" and item["what"] == "rolled_back" for item in events)
    assert "hears more" in alp("models", "history", "fan_v2")
    assert len(alp("models", "history", "--json")) == len(models.history())
    with pytest.raises(AlpError, match="is not a section"):
        alp("models", "rollback", "fan_v1")


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "hall 3"
    (folder / "deeper").mkdir(parents=True)
    for number in range(4):
        (folder / f"n{number}.wav").write_bytes(audio(hum(number)))
    (folder / "deeper" / "n0.WAV").write_bytes(audio(hum(9)))
    (folder / "broken.wav").write_bytes(b"no audio")
    (folder / "silent.wav").write_bytes(audio(0 * hum(1)))
    (folder / "notes.txt").write_text("not a recording")
    return folder


QUICK = (
    "--set",
    "versioned.enabled=false",
    "--set",
    "quality.data_docs=false",
    "--set",
    "embeddings.encoder=logmel",
)


def test_a_model_is_fitted_from_a_bare_folder_and_handed_on(alp, root, recordings, tmp_path):
    made = alp(
        *("train", "--data-dir", str(recordings), "--engine", "B", "--name", "fan_bank_v1", "--json"),
        *("--description", "hall 3", *QUICK),
    )
    registry = Registry(root)
    version = registry.get("fan_bank_v1")
    verify(version)
    assert (version.version, version.engine, version.clips) == (made["id"], "memory_bank", 5)
    assert (version.section, version.state) == (Section("local", "fan", "hall 3"), State.CHAMPION)
    assert (version.description, registry.history(version=version.version)[-1].who) == ("hall 3", "jin")
    assert len(made["left_out"]) == 2
    assert any(text.startswith("broken.wav: ") for text in made["left_out"])
    assert any("silent.wav: It is silent" in text for text in made["left_out"])
    with pytest.raises(AlpError, match="there is such a model already"):
        alp("train", "--data-dir", str(recordings), "--name", "fan_bank_v1", *QUICK)

    out = tmp_path / "out"
    alp("models", "export", "fan_bank_v1", "--out", str(out))
    there = tmp_path / "there"
    (taken,) = alp("models", "import", str(out), "--data", str(there), "--json")
    assert (taken["id"], taken["state"], taken["problem"]) == (version.version, "champion", "")
    (out / "fan_bank_v1.safetensors").unlink()
    output = alp("models", "import", str(out), "--data", str(tmp_path / "third"), code=1)
    assert "fan_bank_v1: not taken over" in " ".join(output.split())


def test_a_recording_whose_name_cannot_be_written_down_is_left_out(alp, root, recordings):
    try:
        (recordings / os.fsdecode("팬".encode("cp949") + b".wav")).write_bytes(audio(hum(5)))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    made = alp("train", "--data-dir", str(recordings), "--engine", "B", "--name", "fan_v1", "--json", *QUICK)
    assert Registry(root).get("fan_v1").clips == 5
    assert any("not UTF-8" in text for text in made["left_out"])


def test_too_few_recordings_leave_nothing_behind(alp, root, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.wav").write_bytes(audio(hum(1)))
    with pytest.raises(AlpError, match="only 1 normal clip"):
        alp("train", "--data-dir", str(folder), "--name", "fan_v1", *QUICK)
    assert Registry(root).find() == []
    assert not [path for path in (root / "packages" / "local").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "best_v1"), "what type of machine"),
        (("--name", "best_v1", "--machine-type", "spaceship"), "what type of machine"),
        (("--name", "fan/v1"), "cannot be the name"),
        (("--name", "fan_v1", "--engine", "magic"), "is no engine"),
        (("--name", "fan_v1", "--customer", "Acme Corp"), "cannot be the name of a customer"),
    ],
)
def test_what_cannot_be_trained_is_said_at_once(alp, recordings, arguments, words):
    with pytest.raises(AlpError, match=words):
        alp("train", "--data-dir", str(recordings), *arguments)


def test_a_folder_without_recordings_is_refused(alp, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AlpError, match="holds no WAV files"):
        alp("train", "--data-dir", str(tmp_path / "empty"), "--name", "fan_v1")
    with pytest.raises(AlpError, match="no such folder"):
        alp("train", "--data-dir", str(tmp_path / "gone"), "--name", "fan_v1")
