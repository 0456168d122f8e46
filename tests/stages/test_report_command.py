"""``alp report`` and the stage report on a whole small package: the same bytes, any language, any outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from alp_assets.commands import report as report_command
from alp_assets.errors import AlpError, StageMissing
from alp_assets.report.browser import BROWSER_VARIABLE, BrowserMissing
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.report import known_language, report, write_report
from tests.packages import FAST, machine_files, receive, run_through, table, tree, zipped

app = typer.Typer()
app.command()(report_command.report)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PackageFolder:
    """A package with a machine that is watched and one that cannot be."""
    root = tmp_path_factory.mktemp("report")
    files, rows = machine_files(mic_position_id="near")
    more, others = machine_files(section="2호기", train=1, normal=0, anomaly=1, seed=7)
    archive = zipped(root / "p.zip", {**files, **more, "metadata.csv": table([*rows, *others])})
    folder = receive(root / "data", archive)
    run_through(folder)
    return folder


@pytest.fixture
def called(finished: PackageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALP_DATA", str(finished.data_root))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["acme/first", *words], catch_exceptions=True)


def test_same_package_gives_the_same_report(finished: PackageFolder) -> None:
    before = tree(finished.stage("report"))
    report(finished, FAST)
    assert tree(finished.stage("report")) == before


def test_page_tells_of_both_machines(finished: PackageFolder) -> None:
    page = (finished.stage("report") / "report.html").read_text(encoding="utf-8")
    assert "1 of 2 machines are being watched." in page
    assert "설비 2대 중 1대를 감시하고 있습니다." in page
    assert "Fan · 2호기" in page
    assert "There is only 1 normal clip of this machine; at least 2 are needed." in page
    assert page.count("<audio") == 3
    assert page.count('<svg class="chart"') >= 3


def test_command_writes_the_page_in_a_language_and_leaves_the_package_as_it_is(finished, called) -> None:
    before = tree(finished.path)
    done = called("--lang", "KO", "--out", "reports")
    assert done.exit_code == 0, done.output
    written = Path("reports/acme-first-report.html")
    page = written.read_text(encoding="utf-8")
    assert '<html lang="ko">' in page
    assert tree(finished.path) == before
    assert "MB" in done.output


def test_command_tells_scripts_where_the_files_are(called, monkeypatch: pytest.MonkeyPatch) -> None:
    from alp_assets.report import browser

    monkeypatch.setattr(browser, "print_pdf", lambda html, pdf: pdf.write_bytes(html.read_bytes()[:9]))
    done = called("--pdf", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {name: Path(path).name for name, path in told.items()} == {
        "html": "acme-first-report.html",
        "pdf": "acme-first-report.pdf",
    }
    assert Path(told["pdf"]).read_bytes().startswith(b"<!DOCTYPE")


def test_page_is_written_even_where_no_browser_prints_it(called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROWSER_VARIABLE, "no-such-browser")
    done = called("--pdf")
    assert isinstance(done.exception, BrowserMissing)
    assert Path("acme-first-report.html").is_file()


def test_unknown_language_is_refused_before_anything_is_done(called) -> None:
    done = called("--lang", "fr")
    assert isinstance(done.exception, AlpError)
    assert "'fr'" in str(done.exception)
    assert not list(Path().iterdir())
    assert known_language(" Ko ") == "ko"


def test_place_that_cannot_be_written_to_is_named(finished: PackageFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AlpError, match=r"file.*--out"):
        write_report(finished, tmp_path / "file", FAST, None)


def test_unfinished_package_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(StageMissing, match="Run upload first"):
        write_report(PackageFolder(tmp_path, "acme", "none"), tmp_path, FAST, "en")
