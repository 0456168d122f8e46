"""Writing the forms of some machine types into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.report.browser import PrintFailed, find_browser, print_pdf
from alp_assets.report.form.page import render_checklist, render_signal_checklist
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
    params: Params,
    *,
    signals: bool = False,
    replace: bool = False,
    progress: Progress = silent,
) -> WrittenForms:
    """Write ``<machine type>/`` with the checklist (a page, and a PDF where a browser is) and the spreadsheet.

    With ``signals`` they are for motor current, flux and vibration, in ``<machine type>-signals/``.

    Raises:
        AlpError: a spreadsheet is already there, which may be filled in, and ``replace`` is not set (nothing
            is written then); or the folder cannot be written to.
    """
    folders = [target / f"{name}{'-signals' * signals}" for name in machine_types]
    _spare_filled_in(folders, replace=replace)
    files: list[Path] = []
    no_pdf = "" if find_browser() else "There is no browser here to print with."
    for done, (folder, machine_type) in enumerate(zip(folders, machine_types, strict=True), start=1):
        try:
            files += _write(folder, machine_type, language, params, signals=signals)
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


def _write(folder: Path, machine_type: str, language: Language, params: Params, *, signals: bool) -> list[Path]:
    page, sheet = folder / PAGE_FILE, folder / SHEET_FILE
    if signals:
        text = render_signal_checklist(machine_type, language, params)
    else:
        text = render_checklist(machine_type, language, params.models)
    write_bytes(page, text.encode())
    write_bytes(sheet, build_sheet(machine_type, language, signals=signals))
    (folder / PDF_FILE).unlink(missing_ok=True)  # of an earlier page, and perhaps no other can be printed
    return [page, sheet]


def _spare_filled_in(folders: Sequence[Path], *, replace: bool) -> None:
    there = [folder / SHEET_FILE for folder in folders if (folder / SHEET_FILE).exists()]
    if there and not replace:
        raise AlpError(
            f"{there[0]}: this spreadsheet is already there and may be filled in. Choose another folder with "
            "--out, or write over it with --replace."
        )
