"""Stage upload: keep the zip byte for byte."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from alp_assets.errors import AlpError, UploadConflict
from alp_assets.files import read_json, sha256_of, write_json
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Summary

ARCHIVE_FILE = "package.zip"
RECEIPT_FILE = "receipt.json"
_CHUNK = 4 << 20


def upload(
    folder: PackageFolder,
    params: Params,
    progress: Progress = silent,
    *,
    archive: Path | None = None,
    original_name: str | None = None,
) -> Summary:
    """Copy the zip into the package folder and write its receipt.

    ``archive`` is the zip, by default the package's place in the inbox. The same bytes again are
    recognised and change nothing; other bytes under the name of a package that is here raise
    ``UploadConflict``. Without an archive the one that was kept before is checked.
    """
    kept = folder.stage("upload")
    given = archive or folder.inbox
    if given.is_dir():
        raise AlpError(f"{given}: this is a folder. Zip it and give the zip.")
    if not given.is_file():
        if archive is None and (kept / RECEIPT_FILE).is_file():
            return _again(folder, sha256_of(kept / ARCHIVE_FILE))
        raise AlpError(f"{given}: no such file. Put the package's zip there, or name the right one.")
    if (kept / RECEIPT_FILE).is_file():
        return _again(folder, sha256_of(given))
    with folder.publish("upload") as part:
        sha256, size = _copy(given, part / ARCHIVE_FILE, progress)
        receipt = {
            "sha256": sha256,
            "bytes": size,
            "received_at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "original_name": original_name or given.name,
        }
        write_json(part / RECEIPT_FILE, receipt)
        return write_summary(part, _summary(sha256, size))


def read_receipt(folder: PackageFolder) -> dict[str, str | int]:
    """The receipt of a package that has been uploaded."""
    receipt: dict[str, str | int] = read_json(folder.stage("upload") / RECEIPT_FILE)
    return receipt


def _again(folder: PackageFolder, sha256: str) -> Summary:
    receipt = read_receipt(folder)
    if sha256 != receipt["sha256"]:
        raise UploadConflict(
            f"{folder.key}: other bytes (SHA-256 {sha256[:12]}…) than those received before under this name "
            f"({str(receipt['sha256'])[:12]}…, {receipt['received_at']}). A package is never overwritten: "
            "send the new zip under a new package name."
        )
    return _summary(sha256, int(receipt["bytes"]))


def _summary(sha256: str, size: int) -> Summary:
    return Summary("upload", {"bytes": size, "sha256": sha256})


def _copy(source: Path, target: Path, progress: Progress) -> tuple[str, int]:
    """Copy while hashing, so that the receipt speaks of the bytes that were kept."""
    digest, done, total = hashlib.sha256(), 0, source.stat().st_size
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            done += len(chunk)
            progress(done, total, "bytes")
    return digest.hexdigest(), done
