"""The ``alp`` command as people and scripts meet it."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from alp_assets.stages.package import STAGES, PackageFolder
from tests.packages import (
    audio,
    hum,
    machine_files,
    machine_package,
    row,
    table,
    tree,
    zipped,
)

QUICK = ("--set", "quality.data_docs=false", "--set", "versioned.enabled=false")
ALP = Path(sys.executable).with_name("alp")


@dataclass(frozen=True)
class Result:
    """How a command ended. Nothing that goes wrong on purpose may show a stack trace."""

    code: int
    out: str
    err: str

    def __post_init__(self):
        assert "Traceback" not in self.out + self.err, self.err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A home and a working folder of the test's own; what the command sets in the environment is undone."""
    for name in ("ALP_DATA", "ALP_PARAMS", "ALP_DEBUG", "DAGSTER_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def alp(monkeypatch, capsys):
    """Run the command in this process."""
    from alp_assets.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["alp", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def alp_process(place, *arguments):
    """Run the command as a process of its own, with home, working and temporary folder in ``place``."""
    folders = {name: place / name for name in ("home", "cwd", "tmp")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**kept, "HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"])}
    done = subprocess.run(
        [ALP, *map(str, arguments)],
        cwd=folders["cwd"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def told(result):
    """The one line that says what was wrong."""
    assert result.out == ""
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    return result.err


# The command itself


def test_help_lists_the_commands(alp):
    result = alp("--help")
    assert result.code == 0
    commands = (
        *("demo", "synth", "onboard", "form", "estimate", "check", "stage", "score", "report", "pretrain", "home"),
        *("version", "weights", "import", "export"),
    )
    for name in commands:
        assert f" {name} " in result.out


def test_importing_the_command_imports_nothing_heavy():
    code = "import sys, alp_assets.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "transformers",
        "pandas",
        "dagster",
        "great_expectations",
        "numpy",
        "scipy",
        "dvc",
        "matplotlib",
    }
    assert not heavy & set(done.stdout.split())


def test_version(alp):
    result = alp("version")
    assert result.code == 0
    assert result.out.startswith("alp 0.")


@pytest.mark.parametrize("arguments", [["nonsense"], ["onboard"], ["version", "--nonsense"], ["score", "x.wav"]])
def test_wrong_usage_ends_with_2(alp, arguments):
    result = alp(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err


def test_a_crash_is_one_line_and_its_own_exit_code(alp, monkeypatch):
    def crash():
        raise RuntimeError("the disk is\n  on fire")

    monkeypatch.setattr("alp_assets.version.code_version", crash)
    result = alp("version")
    assert result.code == 70
    assert "RuntimeError" in told(result)
    assert "on fire" in result.err
    assert "ALP_DEBUG=1" in result.err
    monkeypatch.setenv("ALP_DEBUG", "1")
    with pytest.raises(RuntimeError):
        alp("version")


def test_home_makes_the_instance_folder_with_telemetry_off(alp, tmp_path):
    import yaml

    result = alp("home", "--data", tmp_path / "data")
    assert result.code == 0
    place = Path(result.out.strip())
    assert place == tmp_path / "data" / "dagster"
    config = yaml.safe_load((place / "dagster.yaml").read_text())
    assert config["telemetry"] == {"enabled": False}
    assert (place / "history" / "runs.db").is_file()
    (place / "dagster.yaml").write_text("mine: true")
    assert alp("home", "--data", tmp_path / "data").out == result.out
    assert (place / "dagster.yaml").read_text() == "mine: true"


# Synthesizing and checking


@pytest.fixture
def small(tmp_path):
    """A data root whose synthetic customer is small."""
    root = tmp_path / "data"
    root.mkdir()
    counts = {"source_normals": 2, "target_normals": 2, "test_normals": 1, "test_anomalies": 1}
    counts |= {"noise_only": 0, "clean_machine": 0}
    (root / "params.yaml").write_text(json.dumps({"synth": {**counts, "machines": ["fan"], "duration_s": 1.0}}))
    return root


def test_the_same_seed_gives_the_same_bytes(alp, small, tmp_path):
    archives = [tmp_path / "new" / name for name in ("a.zip", "b.zip", "c.zip")]
    for archive, seed in zip(archives, (7, 7, 8), strict=True):
        result = alp("synth", archive, "--seed", seed, "--data", small, "--json")
        assert result.code == 0
        assert result.json["recordings"] == 8
    first, same, other = (archive.read_bytes() for archive in archives)
    assert first == same
    assert first != other


def test_what_is_synthesized_passes_the_check(alp, small, tmp_path):
    assert alp("synth", tmp_path / "s.zip", "--data", small).code == 0
    result = alp("check", tmp_path / "s.zip", "--data", small)
    assert result.code == 0
    assert "No problems" in result.out


def test_an_unknown_machine_cannot_be_synthesized(alp, small, tmp_path):
    result = alp("synth", tmp_path / "s.zip", "--machines", "fan,toaster", "--data", small)
    assert result.code == 2
    assert "toaster" in told(result)
    assert not (tmp_path / "s.zip").exists()


def spoilt(path):
    """A package with a bad row, a bad recording and a file without a row."""
    files, rows = machine_files(train=3, normal=2, anomaly=0)
    files |= {"audio/text.wav": b"only words here, no sound at all" * 9, "audio/nobody.wav": audio(hum(9))}
    rows += [row("audio/text.wav"), row("audio/absent [bold].wav")]
    return zipped(path, {**files, "metadata.csv": table(rows)})


def good(path, **more):
    """A package in which nothing is to be mended or noted."""
    return machine_package(path, anomaly=0, **more)


def test_check_of_a_good_package(alp, tmp_path):
    archive = good(tmp_path / "p.zip")
    before = tree(tmp_path)
    result = alp("check", archive, "--data", tmp_path / "data")
    assert result.code == 0
    assert "No problems. The package can be sent as it is." in result.out
    found = alp("check", archive, "--data", tmp_path / "data", "--json").json
    assert (found["verdict"], found["passed"], found["problems"]) == ("ok", True, [])
    assert tree(tmp_path) == before


def test_check_of_a_bad_package_lists_the_problems(alp, tmp_path):
    result = alp("check", spoilt(tmp_path / "p.zip"), "--data", tmp_path / "data")
    assert result.code == 1
    assert "2 problems and 1 warning. This package can be sent, but part of it will be set aside.\n" in result.out
    for word in (
        "audio/text.wav",
        "it is text",
        "row 8  column A (relative_path)",
        "audio/absent [bold].wav",
        "no such recording",
        "audio/nobody.wav",
    ):
        assert word in result.out


def test_check_tells_of_equal_problems_once_and_fits_a_narrow_terminal(alp, tmp_path):
    files, rows = machine_files(train=3, normal=1, anomaly=0)
    rows += [row(f"audio/absent_{number}.flac") for number in range(300)]
    archive = zipped(tmp_path / "p.zip", {**files, "metadata.csv": table(rows)})
    result = alp("check", archive, "--data", tmp_path / "data")
    assert result.code == 1
    assert result.out.count("The zip holds no such recording.") == 1
    assert "(300 times)" in result.out
    assert "292 more places" in result.out
    assert len(result.out.splitlines()) < 40
    assert max(len(line) for line in result.out.splitlines() if line.startswith(("[", "  "))) <= 80


def test_check_as_json_is_json_and_nothing_else(alp, tmp_path):
    result = alp("check", spoilt(tmp_path / "p.zip"), "--data", tmp_path / "data", "--json")
    assert result.code == 1
    assert result.json["passed"] is True
    assert result.json["verdict"] == "problems"
    found = {(item["row"], item["severity"], item["file"] or item["value"]) for item in result.json["problems"]}
    assert found == {
        (7, "error", "audio/text.wav"),
        (8, "error", "audio/absent [bold].wav"),
        (None, "warning", "audio/nobody.wav"),
    }
    (section,) = result.json["sections"]
    assert (section["section_id"], section["state"], section["target_normals"]) == ("1", "model", 3)


def test_check_in_korean_writes_a_korean_page(alp, tmp_path):
    archive, page = spoilt(tmp_path / "p.zip"), tmp_path / "out" / "check.html"
    result = alp("check", archive, "--data", tmp_path / "data", "--lang", "ko", "--html", page)
    assert result.code == 1
    assert "문제 2건, 참고 1건." in result.out
    html = page.read_text(encoding="utf-8")
    for words in (
        'lang="ko"',
        "8행, A열(relative_path)",
        "zip 안에 이 녹음 파일이 없습니다.",
        "audio/absent [bold].wav",
    ):
        assert words in html


def test_check_in_a_language_that_there_is_not(alp, tmp_path):
    result = alp("check", tmp_path / "p.zip", "--lang", "de", "--data", tmp_path / "data")
    assert result.code == 2
    assert "en and ko" in told(result)


def test_check_of_what_is_refused(alp, tmp_path):
    (tmp_path / "p.zip").write_text("not a zip")
    page = tmp_path / "check.html"
    result = alp(
        "check", tmp_path / "p.zip", "--data", tmp_path / "data", "--json", "--lang", "ko", "--html", page
    )
    assert result.code == 2
    assert (result.json["passed"], result.json["verdict"]) == (False, "refused")
    assert "zip 파일이 아닙니다" in result.json["problems"][0]["problem"]
    assert "zip 파일이 아닙니다" in result.json["reasons"][0]
    assert "지금 상태로는 접수할 수 없습니다" in page.read_text(encoding="utf-8")


def test_check_follows_the_parameters_that_are_set(alp, tmp_path):
    archive = machine_package(tmp_path / "p.zip", train=2, normal=0, anomaly=0)
    result = alp("check", archive, "--data", tmp_path / "data", "--set", "quality.min_duration_s=3")
    assert result.code == 2
    assert "at least 3 s are needed" in result.out


# What cannot be asked for


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--customer", "Acme Inc"], ["'Acme Inc'", "small letters, digits and hyphens"]),
        (["--customer", "../acme"], ["'../acme'", "small letters, digits and hyphens"]),
        (["--customer", "acme", "--package", "a/b"], ["'a/b'", "package"]),
        (["--customer", "acme", "--set", "models.engin=auto"], ["models.engin", "no such parameter"]),
        (["--customer", "acme", "--set", "decision=0.1"], ["decision"]),
        (
            ["--customer", "acme", "--set", "decision.false_alarm_rate=2"],
            ["decision.false_alarm_rate", "less than 1"],
        ),
        (["--customer", "acme", "--set", "decision.false_alarm_rate"], ["name=value"]),
        (["--customer", "acme", "--set", "decision.false_alarm_rate=["], ["decision.false_alarm_rate=[", "YAML"]),
        (["--customer", "acme", "--engine", "magic"], ["models.engine: 'magic' is no engine", "memory_bank (B)"]),
        (["--customer", "acme", "--set", "=3"], ["3 is given to no parameter", "models.engine=memory_bank"]),
    ],
)
def test_an_onboarding_that_cannot_be_done_is_told_in_a_line_and_writes_nothing(alp, tmp_path, arguments, words):
    archive = machine_package(tmp_path / "first.zip", train=2, normal=0, anomaly=0)
    before = tree(tmp_path)
    result = alp("onboard", archive, *arguments, "--data", tmp_path / "data")
    assert result.code == 2
    line = told(result)
    assert all(word in line for word in words)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    [
        ["onboard", "nowhere.zip", "-c", "acme"],
        ["check", "nowhere.zip"],
        ["onboard", ".", "-c", "acme", "-p", "x"],
    ],
)
def test_a_zip_that_is_not_there(alp, tmp_path, command):
    result = alp(*command, "--data", tmp_path / "data", *(["--json"] if command[0] == "check" else []))
    assert result.code == 2
    assert f"{command[1]}: no such file" in told(result)


def test_a_parameter_file_that_cannot_be_used_is_named(alp, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "params.yaml").write_text("decision:\n  alarm_rate: 0.1\n")
    result = alp("check", machine_package(tmp_path / "p.zip"), "--data", tmp_path / "data")
    assert result.code == 2
    assert "params.yaml: decision.alarm_rate" in told(result)


# One stage


def test_stages_one_by_one_from_the_inbox(alp, tmp_path):
    machine_package(tmp_path / "data" / "inbox" / "acme" / "first.zip", train=3, normal=1, anomaly=1)
    (tmp_path / "data" / "params.yaml").write_text("quality: {data_docs: false}\n")
    for name in STAGES:
        result = alp("stage", name, "acme/first", "--data", tmp_path / "data", "--json")
        assert result.code == 0
        assert result.json["stage"] == name
    assert (tmp_path / "data" / "packages" / "acme" / "first" / "report" / "report.html").is_file()
    assert "5 clips" in alp("stage", "clips", "acme__first", "--data", tmp_path / "data").out


def test_a_stage_whose_gate_fails_ends_with_1_and_the_next_refuses(alp, tmp_path):
    archive = zipped(tmp_path / "data" / "inbox" / "acme" / "first.zip", {"audio/a.wav": audio(hum(1))})
    assert alp("stage", "upload", "acme/first", "--data", tmp_path / "data").code == 0
    result = alp("stage", "metadata", "acme/first", "--data", tmp_path / "data")
    assert result.code == 1
    assert "There is no table" in result.out
    result = alp("stage", "quality", "acme/first", "--data", tmp_path / "data")
    assert result.code == 2
    assert "contract_holds" in told(result)
    assert archive.is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["polish", "acme/first"], ["'polish' is no stage", "metadata"]),
        (["clips", "acme/first"], ["needs upload, which has not run"]),
        (["upload", "acme/first"], ["first.zip: no such file"]),
        (["clips", "acme"], ["cannot be the name of a package"]),
        (["clips", "../../etc/x"], ["cannot be the name of a customer"]),
    ],
)
def test_a_stage_that_cannot_be_run_is_told_in_a_line(alp, tmp_path, arguments, words):
    result = alp("stage", *arguments, "--data", tmp_path / "data")
    assert result.code == 2
    line = told(result)
    assert all(word in line for word in words)


# Onboarding


@pytest.fixture(scope="module")
def onboarded(tmp_path_factory):
    """A package worked through by the command, as a process of its own."""
    place = tmp_path_factory.mktemp("onboarded")
    (place / "in").mkdir()
    archive = machine_package(place / "in" / "first.zip", train=4, normal=2, anomaly=2)
    result = alp_process(
        place, "onboard", archive, "--customer", "acme", "--data", place / "data", *QUICK, "--json"
    )
    return place, result


def test_onboarding_gives_metrics_and_report_as_json(onboarded):
    place, result = onboarded
    assert result.code == 0, result.err
    found = result.json
    assert found["package"] == "acme__first"
    assert found["success"] is True
    assert found["reasons"] == []
    assert found["metrics"]["counts"] == {"sections": 1, "scored": 1, "clips": 8, "test_clips": 4, "flagged": 2}
    report = Path(found["report"])
    assert report == place / "data" / "packages" / "acme" / "first" / "report" / "report.html"
    assert "</html>" in report.read_text(encoding="utf-8")
    assert "upload" in result.err


def test_onboarding_is_recorded_in_the_dagster_instance_of_the_data_root(onboarded):
    import dagster as dg

    place, result = onboarded
    with dg.DagsterInstance.from_config(str(place / "data" / "dagster")) as instance:
        (run,) = instance.get_runs()
        assert run.run_id == result.json["run_id"]
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert run.tags["dagster/partition"] == "acme__first"
        assert instance.get_dynamic_partitions("packages") == ["acme__first"]
        for name in (*STAGES, "versioned"):
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == {"acme__first"}


def test_everything_that_onboarding_writes_lies_under_the_data_root(onboarded):
    place, _ = onboarded
    assert {path.name for path in place.iterdir()} == {"in", "home", "cwd", "tmp", "data"}
    assert list(tree(place / "in")) == ["first.zip"]
    for name in ("home", "cwd", "tmp"):
        assert tree(place / name) == {}
    assert {path.name for path in (place / "data").iterdir()} == {
        "packages",
        "models",
        "registry.db",
        "dagster",
        "cache",
    }


@pytest.fixture
def recording(tmp_path):
    """The recording of a row of the onboarded package, as a file of its own."""
    files, _ = machine_files(train=4, normal=2, anomaly=2)

    def write(name):
        path = tmp_path / Path(name).name
        path.write_bytes(files[name])
        return path

    return write


def test_a_recording_scores_alone_as_it_did_in_its_package(alp, onboarded, recording):
    place, _ = onboarded
    folder = PackageFolder(place / "data", "acme", "first")
    with (folder.stage("scores") / "scores.csv").open(encoding="utf-8", newline="") as stream:
        tested = [record for record in csv.DictReader(stream) if record["split"] == "test"]
    assert len(tested) == 4
    paths = [recording(record["recording"]) for record in tested]
    result = alp("score", *paths, "--section", "acme/fan/1", "--data", place / "data", "--json")
    assert result.code == 0
    for record, found in zip(tested, result.json, strict=True):
        assert found["score"] == float(record["score"])
        assert found["threshold"] == float(record["threshold"])
        assert found["decision"] == record["decision"]
        assert found["severity"] == float(record["severity"])


def test_scores_as_a_table(alp, onboarded, recording):
    place, _ = onboarded
    path = recording("audio/1/test_anomaly_06.wav")
    result = alp("score", path, "-s", "acme/fan/1", "--data", place / "data")
    assert result.code == 0
    assert path.name in result.out
    assert "anomaly" in result.out


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("acme/fan/2", ["acme/fan/2: cannot score, there is no model yet"]),
        ("nobody/fan/1", ["nobody/fan/1: cannot score, there is no model yet"]),
        ("acme/fan", ["'acme/fan' is not a section", "customer/machine_type/section_id"]),
        ("acme//1", ["is not a section"]),
    ],
)
def test_a_section_that_cannot_score_is_said_to(alp, onboarded, recording, section, words):
    place, _ = onboarded
    path = recording("audio/1/test_normal_04.wav")
    result = alp("score", path, "--section", section, "--data", place / "data", "--json")
    assert result.code == 2
    line = told(result)
    assert all(word in line for word in words)


def with_nan():
    sound = hum(1)
    sound[5000] = np.nan
    return audio(sound, subtype="FLOAT")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no such file"]),
        (b"", ["empty"]),
        (b"words and words and words", ["text"]),
        (audio(hum(1, seconds=0.3)), ["at least 1 s"]),
        (with_nan(), ["not numbers"]),
        (audio(np.zeros(32_000, np.float32)), ["silent"]),
        (audio(hum(1), form="MP3"), ["MP3"]),
    ],
)
def test_a_recording_that_a_package_would_set_aside_gets_no_score(alp, onboarded, tmp_path, content, words):
    place, _ = onboarded
    path = tmp_path / "x.wav"
    if content is not None:
        path.write_bytes(content)
    result = alp("score", path, "-s", "acme/fan/1", "--data", place / "data", "--json")
    assert result.code == 2
    line = told(result)
    assert str(path) in line
    assert all(word in line for word in words)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bad_recording_does_not_cost_the_scores_of_the_others(alp, onboarded, recording, tmp_path, as_json):
    place, _ = onboarded
    good = [recording("audio/1/test_anomaly_06.wav"), recording("audio/1/test_normal_04.wav")]
    bad = [tmp_path / "missing.wav", tmp_path / "folder.wav"]
    bad[1].mkdir()
    options = ["-s", "acme/fan/1", "--data", place / "data", *["--json"] * as_json]
    result = alp("score", bad[0], good[0], bad[1], good[1], *options)
    assert result.code == 2
    if as_json:
        assert [row["recording"] for row in result.json] == [str(path) for path in good]
    else:
        assert all(path.name in result.out for path in good)
    missing, folder = result.err.splitlines()
    assert f"{bad[0]}: no such file" in missing
    assert f"{bad[1]}: a folder; name the recordings in it" in folder


def test_what_ails_the_section_is_said_once(alp, onboarded, recording):
    place, _ = onboarded
    paths = [recording("audio/1/test_anomaly_06.wav"), recording("audio/1/test_normal_04.wav")]
    result = alp("score", *paths, "-s", "acme/fan/2", "--data", place / "data")
    assert result.code == 2
    assert "there is no model yet" in told(result)


@pytest.mark.slow
def test_onboarding_again_recognises_the_bytes_and_a_conflict_leaves_all_as_it_was(alp, tmp_path):
    archive = machine_package(tmp_path / "first.zip", train=3, normal=1, anomaly=1)
    common = ("--customer", "acme", "--package", "first", "--data", tmp_path / "data", *QUICK)
    first = alp("onboard", archive, *common)
    assert first.code == 0, first.err
    assert "fan/1" in first.out
    assert "report.html" in first.out
    folder = PackageFolder(tmp_path / "data", "acme", "first")
    before = tree(folder.path)
    assert alp("onboard", archive, *common, "--json").json["success"] is True
    assert tree(folder.path) == before
    other = machine_package(tmp_path / "second.zip", train=3, normal=1, anomaly=1, seed=1)
    result = alp("onboard", other, *common, "--json")
    assert result.code == 1
    assert "other bytes" in result.json["reasons"][0]
    assert "under a new package name" in result.err
    assert tree(folder.path) == before


def test_a_refused_package_gets_its_letter_and_keeps_its_name(alp, tmp_path):
    archive = tmp_path / "first.zip"
    archive.write_bytes(b"not a zip")
    common = ("--customer", "acme", "--package", "first", "--data", tmp_path / "data", *QUICK)
    result = alp("onboard", archive, *common)
    assert result.code == 1
    assert "first.zip: This is not a zip" in result.err
    rejected = tmp_path / "data" / "packages" / "acme" / "first" / "rejected"
    assert str(rejected / "letter.html") in result.out
    assert "not a zip" in (rejected / "letter.html").read_text(encoding="utf-8")
    assert "not a zip" in (rejected / "problems.csv").read_text(encoding="utf-8")
    assert (rejected.parent / "upload" / "package.zip").read_bytes() == b"not a zip"
    before = tree(rejected.parent)

    mended = machine_package(tmp_path / "mended.zip", train=3, normal=1, anomaly=1)
    result = alp("onboard", mended, *common, "--json")
    assert result.code == 1
    assert len(result.json["reasons"]) == 1
    assert "under a new package name" in result.json["reasons"][0]
    assert "not a zip" not in result.err
    assert tree(rejected.parent) == before


def test_a_package_that_somebody_works_on_is_not_onboarded(alp, tmp_path):
    archive = machine_package(tmp_path / "first.zip", train=3, normal=1, anomaly=1)
    folder = PackageFolder(tmp_path / "data", "acme", "first")
    with folder.lock():
        result = alp("onboard", archive, "--customer", "acme", "--data", tmp_path / "data", *QUICK, "--json")
    assert result.code == 1
    assert "another process is working on this package" in result.json["reasons"][0]
    assert not (folder.path / "rejected").exists()


def test_each_data_root_has_its_own_dagster_instance(alp, tmp_path):
    (tmp_path / "first.zip").write_bytes(b"not a zip")
    for name in ("one", "two"):
        assert alp("onboard", tmp_path / "first.zip", "-c", "acme", "--data", tmp_path / name, *QUICK).code == 1
        assert (tmp_path / name / "dagster" / "dagster.yaml").is_file()


def test_demo_makes_a_package_and_onboards_it(alp, tmp_path, monkeypatch):
    from functools import partial

    from alp_assets.synth import customer

    small = partial(
        customer.SynthSpec,
        machines=("fan",),
        source_normals=2,
        target_normals=2,
        test_normals=1,
        test_anomalies=1,
        noise_only=0,
        duration_s=1.0,
    )
    monkeypatch.setattr(customer, "SynthSpec", small)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "params.yaml").write_text("{quality: {data_docs: false}, versioned: {enabled: false}}")
    result = alp("demo", "--data", tmp_path / "data")
    assert result.code == 0, result.err
    assert "fan/" in result.out
    assert len(list(tmp_path.glob("data/packages/demo/*/report/report.html"))) == 1


def test_a_checks_copy_is_gone_afterwards(tmp_path):
    archive = spoilt(tmp_path / "p.zip")
    before = tree(tmp_path, without="tmp")
    result = alp_process(tmp_path, "check", archive, "--data", tmp_path / "data", "--json")
    assert result.code == 1
    assert len(result.json["problems"]) == 3
    assert tree(tmp_path / "tmp") == {}
    assert tree(tmp_path, without="tmp") == before


def test_a_data_root_that_cannot_be_made_is_told_in_words(alp, tmp_path):
    (tmp_path / "file").write_text("")
    result = alp("home", "--data", tmp_path / "file" / "data")
    assert result.code == 2
    assert "--data" in told(result)


def test_a_zip_whose_name_is_no_slug_is_told_about_the_option(alp, tmp_path):
    result = alp("onboard", tmp_path / "팬 데이터.zip", "--customer", "acme", "--data", tmp_path / "data")
    assert result.code == 2
    assert "--package" in told(result)


def test_check_warns_of_machines_that_cannot_get_a_model(alp, tmp_path):
    archive = machine_package(tmp_path / "p.zip", train=1, normal=1, anomaly=0)
    result = alp("check", archive, "--data", tmp_path / "data", "--json")
    assert result.code == 0
    (problem,) = json.loads(result.out)["problems"]
    assert problem["severity"] == "warning"
    assert "fan/1" in problem["problem"]
    assert json.loads(result.out)["sections"][0]["state"] == "too_few"
