"""Whose files this process works on: a decoder that has seen files of one owner works on no other's."""

from __future__ import annotations

_owner = ""


def work_for(owner: str) -> None:
    """From here on files are those of ``owner``, a package or a customer, until another one is named.

    It holds for all threads: a process works for one owner at a time.
    """
    global _owner
    _owner = owner


def owner() -> str:
    """The one who was named last; nobody at first."""
    return _owner
