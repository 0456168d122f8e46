"""Stage upload: keep the zip byte for byte."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from alp_assets.errors import AlpError, DiskRefused, PackageBusy, StageDamaged, UploadConflict
from alp_assets.files import read_json, sha256_of, write_json
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Summary
from alp_assets.store.manifest import FolderDamaged, read_manifest

ARCHIVE_FILE = "package.zip"
RECEIPT_FILE = "receipt.json"
_CHUNK = 4 << 20
_TRIES = 3

Receipt = dict[str, str | int]


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
    ``UploadConflict``. An upload that was damaged since is mended by the same bytes. Without an archive the
    one that was kept before is checked. Links in the inbox are refused; those to an ``archive`` are followed.
    """
    given, here = archive or folder.fetch_inbox(), folder.has("upload")
    if given.is_dir():
        raise AlpError(f"{given}: this is a folder. Zip it and give the zip.")
    if not given.is_file():
        if archive is not None or not here:
            raise AlpError(f"{given}: no such file. Put the package's zip there, or name the right one.")
        kept = folder.stage("upload")
        folder.prove("upload")
        return _again(folder, sha256_of(kept / ARCHIVE_FILE))
    # without a buffer, which would not know what is written to the file meanwhile
    with given.open("rb", buffering=0) if archive is not None else _open_arrived(given) as source:
        _refuse_too_large(source, given, params.upload.max_bytes)
        return _received(folder, source, given, original_name or given.name, progress)


def read_receipt(folder: PackageFolder) -> Receipt:
    """The receipt of a package that has been uploaded; ``StageDamaged`` where it cannot be read."""
    path = folder.file("upload", RECEIPT_FILE)
    try:
        receipt: Receipt = read_json(path)
    except ValueError as error:
        raise StageDamaged(
            f"{path}: cannot be read ({error}). Send the zip of package {folder.package} again under its name, "
            "which mends it."
        ) from error
    return receipt


def _open_arrived(path: Path) -> FileIO:
    """Open a zip in the inbox. Who may write there could put links to what is another customer's."""
    try:
        customer = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            # without waiting for somebody to write to it, should it be a pipe
            file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=customer)
        finally:
            os.close(customer)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _no_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _no_file(path)
    return os.fdopen(file, "rb", buffering=0)


def _refuse_too_large(source: FileIO, given: Path, most: int) -> None:
    if (size := os.fstat(source.fileno()).st_size) > most:
        raise AlpError(
            f"{given}: has {size:,} bytes; an upload may have {most:,} (upload.max_bytes). Send several packages."
        )


def _refuse_full(source: FileIO, given: Path, part: Path, data_root: Path) -> None:
    """Refuse to fill the disk that others work on; a file may say that it is larger than what it takes."""
    size, free = os.fstat(source.fileno()).st_size, shutil.disk_usage(part).free
    if size > free:
        raise DiskRefused(
            f"{data_root}: the disk is full: {given.name} has {size:,} bytes, and {free:,} are left. Make room, "
            "and run it again."
        )


def _no_file(path: Path) -> AlpError:
    return AlpError(
        f"{path}: this or its customer's folder is a link, or it is no file. Links in the inbox are not followed. "
        "Put the zip itself there."
    )


def _received(folder: PackageFolder, source: FileIO, given: Path, name: str, progress: Progress) -> Summary:
    """Keep an open zip, which was given under a path, or find that it has been kept before."""
    here, receipt = folder.has("upload"), Receipt()
    if here:
        sent = hashlib.file_digest(source, "sha256").hexdigest()
        try:
            folder.stage("upload")
            folder.prove("upload")
            return _again(folder, sent)
        except StageDamaged:
            receipt = _left_of_receipt(folder, sent)
    with folder.publish("upload") as part:
        if not here and folder.has("upload"):  # it came while this process waited for its turn
            raise PackageBusy(f"{folder.key}: a zip has just been received under this name. Send this one again.")
        _refuse_full(source, given, part, folder.data_root)
        sha256, size = _copy(source, given, part / ARCHIVE_FILE, progress)
        if receipt.get("sha256") != sha256:
            receipt = _receipt(sha256, size, name)
        write_json(part / RECEIPT_FILE, receipt)
        return write_summary(part, _summary(sha256, size))


def _receipt(sha256: str, size: int, name: str) -> Receipt:
    received = datetime.now(UTC).isoformat(timespec="microseconds")
    return {"sha256": sha256, "bytes": size, "received_at": received, "original_name": name}


def _left_of_receipt(folder: PackageFolder, sent: str) -> Receipt:
    """The receipt of a damaged upload, empty when that is damaged too.

    ``UploadConflict`` when neither it nor the manifest knows the bytes that are sent again.
    """
    receipt: Receipt = {}
    known = set()
    with suppress(OSError, ValueError, FolderDamaged):
        manifest = read_manifest(folder.path / "upload")
        known |= {manifest.files[ARCHIVE_FILE].sha256} if manifest else set()
    with suppress(OSError, ValueError, AlpError):
        receipt = read_receipt(folder)
        known.add(str(receipt["sha256"]))
    if known and sent not in known:
        raise UploadConflict(
            f"{folder.key}: the upload that was kept is damaged, and this is another zip (SHA-256 {sent[:12]}…). "
            "Send the same zip again, or this one under a new package name."
        )
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


def _copy(source: FileIO, given: Path, target: Path, progress: Progress) -> tuple[str, int]:
    """Copy while hashing, so that the receipt speaks of the bytes that were kept.

    A file that is written to meanwhile is read anew: what was read may be half of one zip and half of another.
    """
    for _ in range(_TRIES):
        source.seek(0)
        with target.open("wb") as writer:
            before = _state(source)
            digest, done = hashlib.sha256(), 0
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                writer.write(chunk)
                done += len(chunk)
                progress(done, max(done, before[0]), "bytes")
            if _state(source) == before and done == before[0]:
                return digest.hexdigest(), done
    raise AlpError(
        f"{given}: was written to while it was read, {_TRIES} times, so that nothing of it was kept. Copy it to "
        "the end and give it again; in the inbox it is taken again by itself."
    )


def _state(reader: FileIO) -> tuple[int, int]:
    status = os.fstat(reader.fileno())
    return status.st_size, status.st_mtime_ns
