"""A section: one physical machine of one customer."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
"""What customers and packages are called: these names become folders and partition keys."""

_MAX_FOLDER_BYTES = 200


@dataclass(frozen=True, order=True)
class Section:
    """(customer, machine type, section id). Models belong to sections."""

    customer: str
    machine_type: str
    section_id: str

    def __str__(self) -> str:
        return f"{self.customer}/{self.machine_type}/{self.section_id}"

    @property
    def folder(self) -> str:
        """A folder name of its own: letters of any script stay, everything else is escaped as ``~hex~``.

        Where that is longer than file systems take, its end gives way to a fingerprint.
        """
        text = unicodedata.normalize("NFC", self.section_id)
        escaped = "".join(c if c.isalnum() or c in "-_" else f"~{ord(c):x}~" for c in text)
        if len(escaped.encode()) > _MAX_FOLDER_BYTES:
            start = escaped.encode()[: _MAX_FOLDER_BYTES - 33].decode(errors="ignore")
            escaped = f"{start}={hashlib.sha256(escaped.encode()).hexdigest()[:32]}"
        return f"{self.machine_type}__{escaped}"

    @classmethod
    def parse(cls, text: str) -> Section:
        """Read ``customer/type/id``. ``ValueError`` says what is expected."""
        parts = text.split("/", 2)
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{text!r} is not a section; write customer/machine_type/section_id")
        return cls(*parts)
