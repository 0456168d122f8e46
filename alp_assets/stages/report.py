"""Stage report: everything that was found, on one page for people."""

from __future__ import annotations

from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.html import render_report
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.rejection import withdraw
from alp_assets.stages.report_view import report_view
from alp_assets.stages.summary import Summary
from schemas.texts import LANGUAGES, Language

REPORT_FILE = "report.html"


def report(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Write one self-contained HTML page. A rejection of an earlier try is withdrawn."""
    folder.require("report")
    view = report_view(folder, params, progress)
    data = render_report(view, default_language(params)).encode()
    with folder.publish("report") as part:
        write_bytes(part / REPORT_FILE, data)
        flagged = sum(section.flagged for section in view.sections)
        summary = write_summary(
            part, Summary("report", {"bytes": len(data), "sections": len(view.sections), "flagged": flagged})
        )
    withdraw(folder)
    return summary


def write_report(
    folder: PackageFolder, place: Path, params: Params, language: Language | None, progress: Progress = silent
) -> Path:
    """Write the report of finished stages into a folder outside the package's, which stays as it is.

    ``language`` is the one that it opens in, by default that of the parameters. The page is called
    ``<customer>-<package>-report.html``; returns where it lies.

    Raises:
        GateFailed, StageMissing: as the stage has it.
        AlpError: the folder cannot be written to.
    """
    folder.require("report")
    chosen = language or default_language(params)
    data = render_report(report_view(folder, params, progress), chosen).encode()
    target = place / f"{folder.customer}-{folder.package}-report.html"
    try:
        write_bytes(target, data)
    except OSError as error:
        raise AlpError(f"{target}: cannot be written ({error}). Name another folder with --out.") from error
    return target


def default_language(params: Params) -> Language:
    """The language that a report opens in."""
    return params.report.language


def known_language(name: str) -> Language:
    """A language by name; ``AlpError`` where there are no texts in it."""
    for language in LANGUAGES:
        if language == name.strip().lower():
            return language
    raise AlpError(f"{name!r}: there are no texts in this language. Choose {' or '.join(LANGUAGES)}.")
