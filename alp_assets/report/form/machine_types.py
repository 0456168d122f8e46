"""Machine types as a person names them on the command line."""

from __future__ import annotations

import difflib

from alp_assets.errors import ParameterError
from schemas.columns import fold_header
from schemas.machines import MACHINE_TYPE_NAMES, MACHINE_TYPES

_BY_WORD = {
    fold_header(word): machine.name for machine in MACHINE_TYPES for word in (machine.name, *machine.aliases)
}


def read_machine_types(text: str) -> tuple[str, ...]:
    """Machine types from words separated by commas: names or any alias of the contract, each once, in order.

    Raises:
        ParameterError: there is none, or an unknown one; the text lists all and names the likeliest.
    """
    known = ", ".join(MACHINE_TYPE_NAMES)
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        name = _BY_WORD.get(fold_header(word))
        if name is None:
            near = difflib.get_close_matches(fold_header(word)[:100], _BY_WORD, n=1)
            guess = f"Did you mean {_BY_WORD[near[0]]}? " if near else ""
            raise ParameterError(f"{word[:40]!r} is no machine type. {guess}The machine types are {known}.")
        found.append(name)
    if not found:
        raise ParameterError(f"No machine type is named. Name one or several of {known}, separated by commas.")
    return tuple(dict.fromkeys(found))
