"""Zips that arrive in pieces, and how they become packages in the inbox."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alp_assets.files import read_json, write_json
from alp_assets.params import WebParams
from alp_assets.stages.package import PackageFolder
from alp_assets.web.problems import Problem
from schemas.sections import SLUG

_ID = re.compile(r"[0-9a-f]{32}")
_INFO, _CHECK = "info.json", "check.json"
_SPARE_BYTES = 512 * 2**20
"""Room that uploads leave on the disk."""


@dataclass(frozen=True)
class Upload:
    """One upload. ``bytes`` are those it will have; what has arrived is on disk."""

    id: str
    customer: str
    package: str
    filename: str
    bytes: int
    created_at: str
    expires_at: str
    who: str

    @property
    def expires(self) -> datetime:
        """When it is deleted if it is not sent."""
        return datetime.fromisoformat(self.expires_at)


class Uploads:
    """The uploads of a data root, each in a folder of its own: ``web/uploads/<id>/``."""

    def __init__(self, data_root: Path, params: WebParams) -> None:
        self.data_root, self.params = data_root, params
        self.place = data_root / "web" / "uploads"
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, customer: str, package: str, filename: str, size: int, who: str) -> Upload:
        """Make room for an upload.

        Raises:
            NameRefused: the names cannot be those of a package.
            Problem: the name is taken, it is too large, too many are open, or the disk is full.
        """
        folder = PackageFolder(self.data_root, customer, package)
        self.refuse_taken(folder)
        if size > self.params.package_bytes:
            raise Problem(
                "too-large", f"{size:,} bytes; at most {self.params.package_bytes:,} are taken. Split the package."
            )
        if size <= 0:
            raise Problem("invalid", "An upload has at least one byte.")
        if len(self.of(customer)) >= self.params.uploads_open:
            raise Problem(
                "conflict", f"{customer} has {self.params.uploads_open} unfinished uploads. Finish or delete some."
            )
        self.refuse_full(size)
        now = datetime.now(UTC)
        upload = Upload(
            id=secrets.token_hex(16),
            customer=customer,
            package=package,
            filename=filename,
            bytes=size,
            created_at=now.isoformat(timespec="seconds"),
            expires_at=(now + timedelta(hours=self.params.upload_hours)).isoformat(timespec="seconds"),
            who=who,
        )
        folder_of = self.folder(upload.id)
        folder_of.mkdir(mode=0o700, parents=True)
        self.data(upload).touch()
        write_json(folder_of / _INFO, asdict(upload))
        return upload

    def get(self, upload_id: str) -> Upload | None:
        """An upload by its id, if it is still there."""
        if not _ID.fullmatch(upload_id):
            return None
        try:
            upload = Upload(**read_json(self.folder(upload_id) / _INFO))
        except (OSError, TypeError, ValueError):
            return None
        return upload if upload.expires > datetime.now(UTC) else None

    def of(self, customer: str | None) -> list[Upload]:
        """The uploads of a customer, or of all; oldest first."""
        names = sorted(path.name for path in self.place.glob("*") if path.is_dir())
        found = [upload for name in names if (upload := self.get(name)) is not None]
        chosen = [item for item in found if customer is None or item.customer == customer]
        return sorted(chosen, key=lambda item: item.created_at)

    def folder(self, upload_id: str) -> Path:
        """Where an upload lies."""
        return self.place / upload_id

    def data(self, upload: Upload) -> Path:
        """Its bytes so far, in a file of the package's name: checks tell of it."""
        return self.folder(upload.id) / f"{upload.package}.zip"

    def offset(self, upload: Upload) -> int:
        """How many bytes have arrived."""
        return self.data(upload).stat().st_size

    def complete(self, upload: Upload) -> bool:
        """Whether all have."""
        return self.offset(upload) == upload.bytes

    def scratch(self, upload: Upload) -> Path:
        """Where its check works."""
        return self.folder(upload.id) / "scratch"

    def check_file(self, upload: Upload) -> Path:
        """Where its check is told of."""
        return self.folder(upload.id) / _CHECK

    def check(self, upload: Upload) -> dict[str, Any] | None:
        """What its check says so far, or nothing."""
        try:
            found: dict[str, Any] = read_json(self.check_file(upload))
        except FileNotFoundError:
            return None
        return found

    @contextmanager
    def alone(self, upload: Upload) -> Iterator[None]:
        """Keep others off an upload; ``Problem`` when one is at it."""
        with self._lock:
            if upload.id in self._busy:
                raise Problem("conflict", "Another request is at work on this upload. Wait for it to end.")
            self._busy.add(upload.id)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(upload.id)

    def delete(self, upload: Upload) -> None:
        """Forget an upload and its bytes."""
        shutil.rmtree(self.folder(upload.id), ignore_errors=True)

    def recover(self) -> None:
        """Forget checks that a server before this one did not end."""
        for upload in self.of(None):
            shutil.rmtree(self.scratch(upload), ignore_errors=True)
            if (self.check(upload) or {}).get("state") == "running":
                self.check_file(upload).unlink()

    def expire(self) -> int:
        """Delete what is over or broken; how many those were."""
        gone = 0
        for path in self.place.glob("*"):
            if path.is_dir() and path.name not in self._busy and self.get(path.name) is None:
                shutil.rmtree(path, ignore_errors=True)
                gone += 1
        return gone

    def publish(self, upload: Upload) -> PackageFolder:
        """Put a complete upload into the inbox, whole or not at all; ``Problem`` when the name is taken."""
        folder = PackageFolder(self.data_root, upload.customer, upload.package)
        self.refuse_taken(folder)
        put_in_inbox(self.data(upload), folder)
        self.delete(upload)
        return folder

    def refuse_taken(self, folder: PackageFolder) -> None:
        """``Problem`` when there is a package of that name."""
        if folder.arrived() or folder.exists():
            raise Problem(
                "conflict",
                f"There is a package {folder.customer}/{folder.package} already, and packages are never "
                "overwritten. Choose another name.",
            )

    def refuse_full(self, size: int) -> None:
        """``Problem`` when the disk has no room for so many bytes, for their check and for what comes of them."""
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self.place).free
        if free < 2 * size + _SPARE_BYTES:
            raise Problem("disk-full", f"The server has no room for {size:,} bytes. Tell who runs it.")


def package_name(filename: str) -> str:
    """A name for a package, from that of its file; empty where it yields none."""
    stem = re.sub(r"[^a-z0-9]+", "-", Path(filename).stem.lower()).strip("-")[:100].strip("-")
    return stem if SLUG.fullmatch(stem) else ""


def put_in_inbox(source: Path, folder: PackageFolder) -> None:
    """Give a whole zip its place in the inbox, without ever taking another's; ``source`` stays.

    Where the inbox lies on another disk the bytes are copied beside the place first.
    """
    folder.inbox.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    os.chmod(source, 0o644)
    hidden = folder.inbox.with_name(f".{folder.inbox.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            os.link(source, hidden)
        except OSError:
            shutil.copyfile(source, hidden)
        os.link(hidden, folder.inbox)
        folder.put_inbox()
    except FileExistsError as error:
        raise Problem("conflict", f"A file {folder.package}.zip of {folder.customer} waits already.") from error
    finally:
        with suppress(FileNotFoundError):
            hidden.unlink()
