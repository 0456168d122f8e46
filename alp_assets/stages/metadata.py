"""Stage metadata: the customer's table, brought to the contract, every row with its recording."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pandas as pd

from alp_assets.errors import AlpError, ArchiveRefused, AudioUnreadable, TableRefused
from alp_assets.files import sha256_of, write_csv
from alp_assets.params import Params, UploadParams
from alp_assets.progress import Progress, silent
from alp_assets.report.findings import findings_table
from alp_assets.stages.gate_texts import failure_text
from alp_assets.stages.marked import marked, unmarked
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Gate, Summary, counted
from alp_assets.stages.upload import ARCHIVE_FILE, read_receipt
from schemas.problems import Problem, problems_frame, problems_of, shortened

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive
    from alp_assets.intake.normalize import Normalized

METADATA_FILE = "metadata.parquet"
PROBLEMS_FILE = "problems.csv"
_MOST_LIKELY = 3
_OF_LEFT_OUT = ["row", "machine_type", "section_id"]


def metadata(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Read the table of a package, check all of it, and keep the rows that hold the contract.

    A package that is damaged, dangerous or has no usable table fails the gate ``contract_holds``; rows
    that do not hold the contract are set aside and listed in ``problems.csv``.
    """
    folder.require("metadata")
    archive = folder.stage("upload") / ARCHIVE_FILE
    receipt = read_receipt(folder)
    if sha256_of(archive) != receipt["sha256"]:
        raise AlpError(
            f"{archive}: the bytes are not those of the receipt; the disk or somebody changed them. "
            "Delete the upload folder and send the package again."
        )
    received, sent = datetime.fromisoformat(str(receipt["received_at"])), str(receipt["original_name"])
    table, problems, left_out = _accepted_rows(archive, params.upload, received)
    # what ails the zip itself is told under the name that its sender gave it
    problems = [replace(problem, file=sent) if problem.file == ARCHIVE_FILE else problem for problem in problems]
    progress(1, 1, "tables")
    listed = problems_frame(problems)
    with folder.publish("metadata") as part:
        table.to_parquet(part / METADATA_FILE, index=False)
        write_csv(part / PROBLEMS_FILE, marked(listed), for_excel=True)
        tables = _tables(table, problems) | {"left_out": left_out}
        summary = Summary("metadata", _figures(table, problems), (_gate(table, problems),), tables)
        return write_summary(part, summary)


def read_metadata(folder: PackageFolder) -> pd.DataFrame:
    """The accepted rows: the contract's columns, ``row`` (as in Excel) and ``file`` (inside the zip)."""
    return pd.read_parquet(folder.stage("metadata") / METADATA_FILE)


def read_problems(folder: PackageFolder) -> list[Problem]:
    """The problems that the metadata stage found."""
    frame = pd.read_csv(
        folder.stage("metadata") / PROBLEMS_FILE, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    return problems_of(unmarked(frame))


def _accepted_rows(
    archive: Path, params: UploadParams, received: datetime
) -> tuple[pd.DataFrame, list[Problem], pd.DataFrame]:
    """The rows that hold the contract, every problem, and the rows that were left out."""
    from alp_assets.intake.archive import open_archive
    from alp_assets.intake.decode import decoded_table
    from alp_assets.intake.normalize import normalize
    from schemas.metadata import empty_metadata

    nothing = empty_metadata().assign(file=pd.Series(dtype="str"))
    none_left_out = nothing[_OF_LEFT_OUT]
    try:
        with open_archive(archive, params) as package:
            found = package.tables()
            if not found:
                return nothing, [_no_table(package)], none_left_out
            raw = decoded_table(package.read(found[0]), found[0], params)
            normalized = normalize(raw, now=received)
            table, missing = _with_files(normalized, package.media())
            problems = [*package.warnings, *_other_tables(found), *normalized.problems, *missing]
            without = normalized.frame[~normalized.frame["row"].isin(table["row"])]
            left_out = pd.concat([normalized.left_out, without[_OF_LEFT_OUT]]).sort_values("row")
            return table, problems, left_out.reset_index(drop=True)
    except (ArchiveRefused, TableRefused) as error:
        return nothing, list(error.problems), none_left_out
    except AudioUnreadable as error:
        values = {"why": "damaged", "detail": str(error.__cause__)}
        return nothing, [Problem("refusal", "table_damaged", values, file=found[0])], none_left_out


def _other_tables(found: list[str]) -> list[Problem]:
    return [Problem("warning", "other_table", {"used": found[0]}, file=name) for name in found[1:]]


def _no_table(package: PackageArchive) -> Problem:
    """No table; with the files that are most likely meant as one, if there are any."""
    from alp_assets.intake.archive import TABLE_SUFFIXES

    tables = [name for name in package.files if name.lower().endswith(TABLE_SUFFIXES) and _may_be_table(name)]
    likely = sorted(tables, key=lambda name: (-_likeness(name), name.count("/"), name))
    if not likely:
        return Problem("refusal", "no_table")
    return Problem("refusal", "no_table_near", {"near": [shortened(name) for name in likely[:_MOST_LIKELY]]})


def _may_be_table(name: str) -> bool:
    return not name.lower().startswith("signals/")


def _likeness(name: str) -> float:
    stem = PurePosixPath(name).stem.lower()
    return difflib.SequenceMatcher(None, "metadata", stem[:100]).ratio()


def _with_files(normalized: Normalized, media: list[str]) -> tuple[pd.DataFrame, list[Problem]]:
    """Give every row the file that it names; rows without files and files without rows are problems.

    The files of rows that have problems already are not without a row.
    """
    from alp_assets.intake.paths import PathResolver

    table, resolver = normalized.frame, PathResolver(media)
    set_aside = [problem.file for problem in normalized.problems if problem.severity == "error" and problem.file]
    column = normalized.headers.get("relative_path", "relative_path")
    letter = normalized.letters.get("relative_path")
    problems, files, taken = list[Problem](), [], dict[str, int]()
    resolved = [resolver.resolve(cell) for cell in table["relative_path"]]
    meant = {found.name for found in resolved}
    for row, cell, found in zip(table["row"], table["relative_path"], resolved, strict=True):
        file, code, values = found.name, found.code, found.values
        if file is not None and file in taken:
            code, values, file = "recording_twice_as", {"row": int(taken[file]), "other": file}, None
        if code == "recording_near":  # a file that another row names is not the one that this row means
            near = tuple(name for name in found.near if name not in meant)
            code, values = ("recording_near", {"names": near}) if near else ("recording_missing", {})
        if code:
            problems.append(
                Problem("error", code, values, row, "relative_path", shortened(cell), None, letter, column)
            )
        if file is not None:
            taken[file] = row
        files.append(file)
    named = {*taken, *(resolver.resolve(path).name for path in set_aside)}
    problems += [Problem("warning", "file_without_row", file=name) for name in media if name not in named]
    kept = table.assign(file=pd.Series(files, index=table.index, dtype="str"))
    return kept[kept["file"].notna()].reset_index(drop=True), problems


def _gate(table: pd.DataFrame, problems: list[Problem]) -> Gate:
    refusals = [problem for problem in problems if problem.severity == "refusal"]
    errors = sum(problem.severity == "error" for problem in problems)
    figures = {"rows_accepted": len(table), "errors": errors, "refusals": len(refusals)}
    if refusals or not len(table):
        return Gate("contract_holds", "failed", failure_text("contract_holds", figures, problems, "en"), figures)
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


def _tables(table: pd.DataFrame, problems: list[Problem]) -> dict[str, pd.DataFrame]:
    sections = table.groupby(["machine_type", "section_id", "split", "domain"]).size()
    return {"sections": sections.rename("recordings").reset_index(), "problems": findings_table(problems)}
