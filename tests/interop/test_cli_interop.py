"""``alp import`` and ``alp export`` as people and scripts meet them."""

import json

import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands.interop import export_app, import_app
from alp_assets.errors import AlpError, NameRefused, StageMissing
from schemas.sections import SLUG
from tests.interop import trees
from tests.interop.trees import lay
from tests.packages import receive, run_through

app = typer.Typer()
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")


@pytest.fixture
def alp(tmp_path, monkeypatch):
    for name in ("ALP_DATA", "MPLCONFIGDIR", "DVC_SITE_CACHE_DIR"):  # undone after what the command sets
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if isinstance(result.exception, AlpError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


def test_a_package_is_named_after_its_folder_and_told_in_a_table(alp, tmp_path):
    lay(tmp_path / "dev_data", [*trees.of_2025(), "README.wav"])
    out = alp("import", "dcase", "dev_data").output
    assert (tmp_path / "dev-data.zip").is_file()
    for told in ("DCASE 2025 Task 2", "fan/00", "README.wav", "1 files left out", "2025-04-01", "alp onboard"):
        assert told in out


@pytest.mark.parametrize(("folder", "archive"), [("DCASE 2025_(dev)", "dcase-2025-dev"), ("공장", "data-set")])
def test_the_zip_is_called_as_a_package_may_be(alp, tmp_path, folder, archive):
    lay(tmp_path / folder, trees.of_2022())
    alp("import", "dcase", folder)
    assert SLUG.fullmatch(archive)
    assert (tmp_path / f"{archive}.zip").is_file()


def test_json_tells_everything(alp, tmp_path):
    lay(tmp_path / "set", [*trees.of_2022(), *trees.of_2022("ToyCar", "01"), "stray.txt"])
    options = ("--machine-type", "ToyCar=motor", "--sections", "01", "--recorded-at", "2024-05-06", "--json")
    found = json.loads(alp("import", "dcase", "set", "--out", "deep/er/x.zip", *options).stdout)
    assert (tmp_path / "deep/er/x.zip").is_file()
    assert found["recordings"] == 10
    assert found["recorded_at"] == "2024-05-06T00:00:00"
    assert {(item["machine_type"], item["section_id"]) for item in found["sections"]} == {("motor", "ToyCar-01")}
    assert "stray.txt" in [finding["file"] for finding in found["findings"] if finding["left_out"]]


def test_machines_that_alp_does_not_know_may_be_left_out(alp, tmp_path):
    lay(tmp_path / "set", [*trees.of_2022(), *trees.of_2022("ToyUnicorn")])
    with pytest.raises(AlpError, match="ToyUnicorn"):
        alp("import", "dcase", "set")
    assert json.loads(alp("import", "dcase", "set", "--machines", "fan", "--json").stdout)["recordings"] == 10


def test_mimii(alp, tmp_path):
    lay(tmp_path / "set", trees.mimii(), channels=8)
    assert "MIMII" in alp("import", "mimii", "set", "--channels", "1").output


@pytest.mark.parametrize(
    ("channels", "chosen", "sections"),
    [(2, (), {"00", "00-far"}), (2, ("--channels", "whole"), {"00"}), (1, (), {"00"})],
)
def test_near_and_far_are_kept_apart_unless_asked_otherwise(alp, tmp_path, channels, chosen, sections):
    trees.lay(tmp_path / "set", trees.of_2025(), channels)
    told = json.loads(alp("import", "dcase", tmp_path / "set", "--json", *chosen).stdout)
    assert {section["section_id"] for section in told["sections"]} == sections


@pytest.mark.parametrize("text", ["ToyCar", "=motor", "ToyCar="])
def test_a_machine_type_that_is_no_pair_is_refused(alp, tmp_path, text):
    with pytest.raises(AlpError, match="MACHINE=TYPE"):
        alp("import", "dcase", "set", "--machine-type", text)


def test_a_zip_that_is_there_is_refused_before_anything_is_read(alp, tmp_path):
    (tmp_path / "set.zip").write_bytes(b"mine")
    with pytest.raises(AlpError, match="such a file already"):
        alp("import", "dcase", "set")


def test_a_time_that_is_none_is_refused(alp):
    assert "2024-13-01" in alp("import", "dcase", "set", "--recorded-at", "2024-13-01", code=2).output


class TestExport:
    @pytest.fixture
    def package(self, alp, tmp_path):
        lay(tmp_path / "set", trees.of_2022())
        alp("import", "dcase", "set")
        return receive(tmp_path / "data", tmp_path / "set.zip")

    def test_a_finished_package_becomes_files(self, alp, package):
        run_through(package, until="scores")
        for number, name in enumerate(("acme/first", "acme__first")):
            result = alp("export", "dcase", name, "--out", f"out{number}", "--data", "data", "--json")
            found = json.loads(result.stdout)
            assert len(found["files"]) == 2
            assert found["lines"] == 4
            assert not found["without_score"]

    def test_a_test_recording_without_a_score_is_named(self, alp, tmp_path):
        names = trees.of_2022()
        tree = dict.fromkeys(names, b"") | {names[-1]: trees.sound(9)[:4000]}
        lay(tmp_path / "set", tree)
        alp("import", "dcase", "set")
        package = receive(tmp_path / "data", tmp_path / "set.zip")
        run_through(package, until="scores")
        result = alp("export", "dcase", package.key, "--out", "out", "--data", "data", code=1)
        assert "1 test recordings have no score" in " ".join(result.output.split())
        assert names[-1].rpartition("/")[2] in result.output.replace("\n", "")

    def test_one_that_is_not_finished_is_refused(self, alp, package):
        with pytest.raises(StageMissing, match="has no scores"):
            alp("export", "dcase", package.key, "--out", "out", "--data", "data")

    def test_so_is_a_name_that_is_none(self, alp, package):
        with pytest.raises(NameRefused):
            alp("export", "dcase", "nothing", "--out", "out", "--data", "data")
