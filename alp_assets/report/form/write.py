"""Writing the forms of some machine types into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.params import ModelParams
from alp_assets.progress import Progress, silent
from alp_assets.report.browser import PrintFailed, find_browser, print_pdf
from alp_assets.report.form.page import render_checklist
from alp_assets.report.form.sheet import build_sheet
from schemas.texts import Language

PAGE_FILE = "checklist.html"
PDF_FILE = "checklist.pdf"
SHEET_FILE = "metadata.xlsx"


@dataclass(frozen=True)
class WrittenForms:
    """The files that were written; ``no_pdf`` says why there are no PDFs, and is empty where there are."""

    files: tuple[Path, ...]
    no_pdf: str


def write_forms(
    machine_types: Sequence[str],
    language: Language,
    target: Path,
    params: ModelParams,
    *,
    replace: bool = False,
    progress: Progress = silent,
) -> WrittenForms:
    """Write ``<machine type>/`` with the checklist (a page, and a PDF where a browser is) and the spreadsheet.

    Raises:
        AlpError: a spreadsheet is already there, which may be filled in, and ``replace`` is not set (nothing
            is written then); or the folder cannot be written to.
    """
    _spare_filled_in(target, machine_types, replace=replace)
    files: list[Path] = []
    no_pdf = "" if find_browser() else "There is no browser here to print with."
    for done, machine_type in enumerate(machine_types, start=1):
        folder = target / machine_type
        try:
            files += _write(folder, machine_type, language, params)
            if not no_pdf:
                print_pdf(folder / PAGE_FILE, folder / PDF_FILE)
                files.append(folder / PDF_FILE)
        except PrintFailed as error:
            no_pdf = str(error)
        except OSError as error:
            reason = error.strerror or error
            raise AlpError(
                f"{folder}: cannot be written to ({reason}). Choose another folder with --out."
            ) from error
        progress(done, len(machine_types), "forms")
    return WrittenForms(tuple(files), no_pdf)


def _write(folder: Path, machine_type: str, language: Language, params: ModelParams) -> list[Path]:
    page, sheet = folder / PAGE_FILE, folder / SHEET_FILE
    write_bytes(page, render_checklist(machine_type, language, params).encode())
    write_bytes(sheet, build_sheet(machine_type, language))
    (folder / PDF_FILE).unlink(missing_ok=True)  # of an earlier page, and perhaps no other can be printed
    return [page, sheet]


def _spare_filled_in(target: Path, machine_types: Sequence[str], *, replace: bool) -> None:
    there = [target / name / SHEET_FILE for name in machine_types if (target / name / SHEET_FILE).exists()]
    if there and not replace:
        raise AlpError(
            f"{there[0]}: this spreadsheet is already there and may be filled in. Choose another folder with "
            "--out, or write over it with --replace."
        )
