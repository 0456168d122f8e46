"""The entries of a customer's zip: their true names, and what is dangerous about them.

All of it is known from the zip's directory, before one byte is unpacked.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alp_assets.intake.encoding import choose_encoding
from alp_assets.intake.media import MEDIA_FOLDERS
from alp_assets.intake.zip_directory import finding
from alp_assets.params import UploadParams
from schemas.problems import Problem

_UTF8_FLAG = 0x800
_ENCRYPTED_FLAGS = 0x1 | 0x40
_UNICODE_PATH = 0x7075
_LOCAL_HEADER = 30
_DOS_FOLDER = 0x10
_JUNK_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Entry:
    """One file of the package: its path, its size unpacked, its CRC-32 and its name as the zip has it."""

    name: str
    size: int
    crc: int
    zip_name: str


@dataclass(frozen=True)
class Member:
    """An entry of the zip's directory under its repaired name."""

    name: str
    info: zipfile.ZipInfo

    @property
    def entry(self) -> Entry:
        """It as a file of the package."""
        return Entry(self.name, self.info.file_size, self.info.CRC, self.info.orig_filename)


def named(infos: Sequence[zipfile.ZipInfo]) -> list[Member]:
    """Every entry under its true name: unflagged names are guessed together, for more to guess from."""
    unflagged = [info.orig_filename.encode("cp437") for info in infos if not info.flag_bits & _UTF8_FLAG]
    encoding = choose_encoding(b"\n".join(unflagged))
    return [Member(unicodedata.normalize("NFC", _true_name(info, encoding)), info) for info in infos]


def _true_name(info: zipfile.ZipInfo, encoding: str | None) -> str:
    flagged = bool(info.flag_bits & _UTF8_FLAG)
    raw = info.orig_filename.encode("utf-8" if flagged else "cp437")
    name = _unicode_path(info.extra, raw)
    if name is None and not flagged:
        encoding = encoding or choose_encoding(raw)
        name = raw.decode(encoding) if encoding else None
    return (name or info.orig_filename).replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's Unicode Path extra field, if it was made for this very name."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if tag == _UNICODE_PATH and len(body) > 5 and body[0] == 1:
            if struct.unpack_from("<I", body, 1)[0] != zlib.crc32(raw):
                return None
            try:
                return body[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def entry_problems(member: Member, params: UploadParams) -> Iterator[Problem]:
    """What is dangerous about one entry, or over its limits."""
    info, name = member.info, member.name.replace("\0", "\\0")
    escape = _escape(member.name) or _escape(info.orig_filename.replace("\\", "/"))
    if escape:
        yield finding(name, escape)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield finding(name, "entry_special", what="link" if kind == stat.S_IFLNK else "special")
    if info.flag_bits & _ENCRYPTED_FLAGS:
        yield finding(name, "entry_encrypted")
    if info.file_size > params.max_entry_bytes:
        yield finding(name, "entry_too_large", bytes=info.file_size, most=params.max_entry_bytes)
    if info.file_size >= params.ratio_from_bytes and info.file_size > params.max_ratio * info.compress_size:
        yield finding(name, "entry_ratio", ratio=params.max_ratio)


def _escape(name: str) -> str | None:
    """The code of what is dangerous about a path, or None."""
    if "\0" in name:
        return "entry_nul"
    if name.startswith("/"):
        return "entry_absolute"
    if re.match(r"[A-Za-z]:", name):
        return "entry_drive"
    return "entry_climbs" if ".." in name.split("/") else None


def size_problems(path: Path, members: Sequence[Member], params: UploadParams) -> Iterator[Problem]:
    """What is over the limits of the whole zip."""
    if len(members) > params.max_entries:
        yield finding(path.name, "zip_too_many", most=params.max_entries)
    total = sum(member.info.file_size for member in members)
    if total > params.max_total_bytes:
        yield finding(path.name, "zip_too_large", bytes=total, most=params.max_total_bytes)
    packed = sum(member.info.compress_size for member in members)
    if total >= params.ratio_from_bytes and total > params.max_ratio * packed:
        yield finding(path.name, "zip_ratio", ratio=params.max_ratio)


def overlap_problems(path: Path, infos: Sequence[zipfile.ZipInfo]) -> Iterator[Problem]:
    """Entries that share packed bytes, which lets a small zip unpack to any size, or lie outside the file."""
    end = path.stat().st_size
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            yield finding(path.name, "zip_overlap", name=info.filename)
            return
        end = info.header_offset


def is_ignored(member: Member) -> bool:
    """Folders, and what operating systems and Excel leave lying about."""
    parts = [part.lower() for part in member.name.split("/")]
    mode = member.info.external_attr >> 16
    folder = member.name.endswith("/") or stat.S_ISDIR(mode)
    if folder or (member.info.external_attr & _DOS_FOLDER and not member.info.file_size) or "__macosx" in parts:
        return True
    return parts[-1] in _JUNK_NAMES or parts[-1].startswith(("._", "~$"))


def inner(members: list[Member]) -> list[Member]:
    """The members as seen from inside the folder that was zipped together with its contents."""
    paths = [tuple(part for part in member.name.split("/") if part not in ("", ".")) for member in members]
    while paths and all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        if paths[0][0].lower() in MEDIA_FOLDERS:
            break
        paths = [path[1:] for path in paths]
    return [Member("/".join(path), member.info) for path, member in zip(paths, members, strict=True) if path]


def distinct(members: Sequence[Member]) -> tuple[list[Member], list[Problem]]:
    """One member for each name. A second one is ignored if it holds the same, else it is a refusal."""
    first: dict[str, Member] = {}
    problems = []
    for member in members:
        other = first.setdefault(member.name, member)
        if other is member:
            continue
        if (other.entry.crc, other.entry.size) == (member.entry.crc, member.entry.size):
            problems.append(finding(member.name, "file_twice", "warning"))
        else:
            problems.append(finding(member.name, "file_clash"))
    return list(first.values()), problems
