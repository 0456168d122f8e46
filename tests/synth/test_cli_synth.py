"""The command ``alp synth``."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.synth import synth
from alp_assets.errors import ParameterError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(synth)

    def invoke(*arguments: object, params: dict | None = None):
        (tmp_path / "data" / "params.yaml").write_text(
            json.dumps({"synth": {"duration_s": 1.0, **(params or {})}})
        )
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, ParameterError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return invoke


def splits(archive: Path) -> Counter:
    with zipfile.ZipFile(archive) as opened:
        rows = csv.DictReader(io.StringIO(opened.read("metadata.csv").decode("utf-8-sig")))
        return Counter((row["machine_type"], row["split"]) for row in rows)


def test_without_more_it_is_the_full_shape_of_which_scale_leaves_a_part(run, tmp_path):
    told = run(tmp_path / "a.zip", "--machines", "fan, motor", "--scale", 0.02).output
    expected = {"train": 23, "test": 20, "supplemental": 4}
    assert splits(tmp_path / "a.zip") == {(m, s): n for m in ("fan", "motor") for s, n in expected.items()}
    assert "94 recordings of 2 machines" in told


def test_all_types_are_made_where_none_is_named(run, tmp_path):
    run(tmp_path / "a.zip", "--scale", 0.001)
    assert len({machine for machine, _ in splits(tmp_path / "a.zip")}) == 7


def test_small_is_the_customer_of_the_demo(run, tmp_path):
    made = json.loads(run(tmp_path / "a.zip", "--small", "--json").stdout)
    assert (made["recordings"], made["sections"]) == (144, 2)
    assert splits(tmp_path / "a.zip")["pump", "train"] == 30


def test_parameters_come_before_the_shape_and_options_before_parameters(run, tmp_path):
    given = {"machines": ["valve"], "source_normals": 1, "target_normals": 3, "seed": 5}
    given |= {"test_normals": 1, "test_anomalies": 0, "noise_only": 0, "clean_machine": 0}
    made = json.loads(run(tmp_path / "a.zip", "--json", params=given).stdout)
    assert splits(tmp_path / "a.zip") == {("valve", "train"): 4, ("valve", "test"): 2}
    seeded = json.loads(run(tmp_path / "b.zip", "--json", "--seed", 6, "--sections", 2, params=given).stdout)
    assert seeded["recordings"] == 2 * made["recordings"]
    assert made["sha256"] != seeded["sha256"]


def test_folders_of_dcase_with_two_microphones(run, tmp_path):
    run(tmp_path / "tree", "--small", "--scale", 0.1, "--form", "dcase", "--channels", 2)
    assert (tmp_path / "tree" / "fan" / "attributes_00.csv").is_file()
    assert len(list(tmp_path.glob("tree/pump/train/*.wav"))) == 6


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--machines", "fan,toaster"), "toaster"),
        (("--machines", ","), "cannot be synthesized"),
        (("--scale", "0"), "scale: 0"),
        (("--sections", "0"), "sections_per_machine: 0"),
        (("--channels", "12"), "channels: 12"),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_written(run, tmp_path, options, text):
    with pytest.raises(ParameterError, match=text):
        run(tmp_path / "a.zip", *options)
    assert not (tmp_path / "a.zip").exists()


def test_signals_are_motors_whose_currents_were_measured(run, tmp_path):
    told = run(tmp_path / "m.zip", "--signals", "--scale", 0.05).output
    assert "recordings of 1 motors" in told
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode("utf-8-sig"))))
    assert {row["modality"] for row in rows} == {"current"}
    assert {row["split"] for row in rows} == {"train", "test"}


@pytest.mark.parametrize("more", [["--machines", "fan"], ["--small"], ["--channels", 2], ["--form", "dcase"]])
def test_what_is_for_sound_alone_is_refused_with_signals(run, tmp_path, more):
    with pytest.raises(ParameterError, match=more[0]):
        run(tmp_path / "m.zip", "--signals", *more)
