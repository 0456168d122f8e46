"""What versions are called."""

from __future__ import annotations

import re

from alp_assets.registry.records import RegistryRefused

_LONGEST = 100
_NAME = re.compile(r"\w[\w.-]*")
_ID = re.compile(r"[0-9a-f]{16}")


def default_name(machine_type: str, section_id: str, engine: str) -> str:
    """The stem of a version's name, which a number follows."""
    section = re.sub(r"[^\w.-]+", "_", section_id)[:40]
    return f"{machine_type}-{section}-{engine}"


def checked_name(name: str) -> str:
    """A name that somebody gave.

    Raises:
        RegistryRefused: it could not be told from an id, or not be a file's.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or _ID.fullmatch(name):
        raise RegistryRefused(
            f"{name!r} cannot be the name of a model: use letters, digits, _, - and ., with a letter or digit "
            f"first and at most {_LONGEST} of them, for example fan_autoencoder_v1."
        )
    return name
