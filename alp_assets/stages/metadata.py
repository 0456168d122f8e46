"""Stage metadata: the customer's table, brought to the contract, every row with its recording."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import cast

import pandas as pd

from alp_assets.errors import AlpError, ArchiveRefused, AudioUnreadable, TableRefused
from alp_assets.files import sha256_of, write_csv
from alp_assets.params import Params, UploadParams
from alp_assets.progress import Progress, silent
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Gate, Summary, counted
from alp_assets.stages.upload import ARCHIVE_FILE, read_receipt
from schemas.problems import Problem, Severity, problems_frame

METADATA_FILE = "metadata.parquet"
PROBLEMS_FILE = "problems.csv"
_SHOWN = 20


def metadata(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Read the table of a package, check all of it, and keep the rows that hold the contract.

    A package that is damaged, dangerous or has no usable table fails the gate ``contract_holds``; rows
    that do not hold the contract are set aside and listed in ``problems.csv``.
    """
    folder.require("metadata")
    archive = folder.stage("upload") / ARCHIVE_FILE
    if sha256_of(archive) != read_receipt(folder)["sha256"]:
        raise AlpError(
            f"{archive}: the bytes are not those of the receipt; the disk or somebody changed them. "
            "Delete the upload folder and send the package again."
        )
    received = datetime.fromisoformat(str(read_receipt(folder)["received_at"]))
    table, problems = _accepted_rows(archive, params.upload, received)
    progress(1, 1, "tables")
    listed = problems_frame(problems)
    with folder.publish("metadata") as part:
        table.to_parquet(part / METADATA_FILE, index=False)
        write_csv(part / PROBLEMS_FILE, listed, for_excel=True)
        summary = Summary("metadata", _figures(table, problems), (_gate(table, problems),), _tables(table, listed))
        return write_summary(part, summary)


def read_metadata(folder: PackageFolder) -> pd.DataFrame:
    """The accepted rows: the contract's columns, ``row`` (as in Excel) and ``file`` (inside the zip)."""
    return pd.read_parquet(folder.stage("metadata") / METADATA_FILE)


def read_problems(folder: PackageFolder) -> list[Problem]:
    """The problems that the metadata stage found."""
    frame = pd.read_csv(
        folder.stage("metadata") / PROBLEMS_FILE, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    return [
        Problem(
            severity=cast("Severity", row.severity),
            problem=str(row.problem),
            remedy=str(row.remedy),
            row=int(str(row.row)) if row.row else None,
            column=str(row.column) or None,
            value=str(row.value) or None,
            file=str(row.file) or None,
        )
        for row in frame.itertuples()
    ]


def _accepted_rows(archive: Path, params: UploadParams, received: datetime) -> tuple[pd.DataFrame, list[Problem]]:
    from alp_assets.intake.archive import open_archive
    from alp_assets.intake.normalize import normalize
    from alp_assets.intake.table import read_table
    from schemas.metadata import empty_metadata

    nothing = empty_metadata().assign(file=pd.Series(dtype="str"))
    try:
        with open_archive(archive, params) as package:
            found = package.tables()
            if not found:
                return nothing, [_no_table()]
            normalized = normalize(read_table(package.read(found[0]), found[0]), now=received)
            set_aside = [problem.file for problem in normalized.problems if problem.file]
            table, missing = _with_files(normalized.frame, package.media(), set_aside)
            return table, [*package.warnings, *_other_tables(found), *normalized.problems, *missing]
    except (ArchiveRefused, TableRefused) as error:
        return nothing, list(error.problems)
    except AudioUnreadable as error:
        return nothing, [Problem("refusal", f"{error}.", "Zip the folder again and send it anew.")]


def _other_tables(found: list[str]) -> list[Problem]:
    return [
        Problem(
            "warning", f"The zip holds two tables; {found[0]} is read and this one is not.", "Keep one.", file=name
        )
        for name in found[1:]
    ]


def _no_table() -> Problem:
    return Problem(
        "refusal",
        "There is no table in the zip.",
        "Put metadata.csv or metadata.xlsx beside the audio folder and send the package again.",
    )


def _with_files(table: pd.DataFrame, media: list[str], set_aside: list[str]) -> tuple[pd.DataFrame, list[Problem]]:
    """Give every row the file that it names; rows without files and files without rows are problems.

    ``set_aside`` are the paths in rows that have problems already, whose files are not without a row.
    """
    from alp_assets.intake.paths import PathResolver

    resolver = PathResolver(media)
    problems, files, taken = [], [], dict[str, int]()
    for row, cell in zip(table["row"], table["relative_path"], strict=True):
        found = resolver.resolve(cell)
        file = found.name
        if file is None:
            problems.append(
                Problem("error", "The zip holds no such recording.", found.hint, row, "relative_path", cell)
            )
        elif file in taken:
            problems.append(
                Problem(
                    "error",
                    f"Row {taken[file]} already stands for this recording ({file}).",
                    "Keep one row for each recording.",
                    row,
                    "relative_path",
                    cell,
                )
            )
            file = None
        else:
            taken[file] = row
        files.append(file)
    named = {*taken, *(resolver.resolve(path).name for path in set_aside)}
    problems += [
        Problem(
            "warning",
            "No row of the table stands for this file, so it is not used.",
            "Add a row for it, or leave it out.",
            file=name,
        )
        for name in media
        if name not in named
    ]
    kept = table.assign(file=pd.Series(files, index=table.index, dtype="str"))
    return kept[kept["file"].notna()].reset_index(drop=True), problems


def _gate(table: pd.DataFrame, problems: list[Problem]) -> Gate:
    refusals = [problem for problem in problems if problem.severity == "refusal"]
    errors = sum(problem.severity == "error" for problem in problems)
    figures = {"rows_accepted": len(table), "errors": errors, "refusals": len(refusals)}
    if refusals:
        return Gate("contract_holds", "failed", "; ".join(map(str, refusals[:3])), figures)
    if not len(table):
        text = "No row of the table holds the contract; problems.csv says why, row by row."
        return Gate("contract_holds", "failed", text, figures)
    if errors:
        text = f"{counted(errors, 'problem')} in rows that were set aside; {counted(len(table), 'good row')} left."
        return Gate("contract_holds", "warned", text, figures)
    return Gate("contract_holds", "passed", f"Rows that hold the contract: all {len(table)}.", figures)


def _figures(table: pd.DataFrame, problems: list[Problem]) -> dict[str, int | float | str]:
    return {
        "rows": len(table),
        "sections": len(table[["machine_type", "section_id"]].drop_duplicates()),
        "problems": len(problems),
        "warnings": sum(problem.severity == "warning" for problem in problems),
    }


def _tables(table: pd.DataFrame, problems: pd.DataFrame) -> dict[str, pd.DataFrame]:
    sections = table.groupby(["machine_type", "section_id", "split", "domain"]).size()
    return {"sections": sections.rename("recordings").reset_index(), "problems": problems.head(_SHOWN)}
