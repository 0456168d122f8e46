"""What each channel of a recording is, and which row of the standard form it fills."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alp_assets.signals.recording import FloatArray, SignalRecording, SignalUnreadable
from schemas.problems import Problem

ROWS = ("phase_a", "phase_b", "phase_c", "flux")
"""The rows of the standard form. Axes of vibration, x, y and z, lie in those of the phases."""

PHASES = ROWS[:3]
AXES = ("axis_x", "axis_y", "axis_z")

_SKIPPED = "none"
_ROW_OF = {role: row for row, role in enumerate(ROWS)} | {role: row for row, role in enumerate(AXES)}
_ALIASES = {
    "phase_a": ("a", "r", "u", "l1", "ia", "ir", "iu", "i1", "il1", "isa", "ias", "a상", "r상", "u상", "1상"),
    "phase_b": ("b", "s", "v", "l2", "ib", "is", "iv", "i2", "il2", "isb", "ibs", "b상", "s상", "v상", "2상"),
    "phase_c": ("c", "t", "w", "l3", "ic", "it", "iw", "i3", "il3", "isc", "ics", "c상", "t상", "w상", "3상"),
    "flux": ("flux", "strayflux", "fluxcoil", "searchcoil", "자속", "누설자속", "자속센서", "자속코일"),
    "axis_x": ("x", "ax", "accx", "axisx", "vibx", "x축", "진동x"),
    "axis_y": ("y", "ay", "accy", "axisy", "viby", "y축", "진동y"),
    "axis_z": ("z", "az", "accz", "axisz", "vibz", "z축", "진동z"),
}
_AROUND = re.compile(r"current|전류|phase|amps?$|\(.*?\)|\[.*?\]|[\s_\-./:#]+")
_BY_NAME = {alias: role for role, aliases in _ALIASES.items() for alias in aliases}
_NOTHING = frozenset({"none", "skip", "ignore", "x", "-", "없음", "제외"})
_NUMBERED = re.compile(r"(?:ch|channel|채널|analog|a|math|m)?\s*[-_#]?\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Chosen:
    """The channels of a file that are used, in its order, what they are, and what was assumed for that."""

    places: tuple[int, ...]
    roles: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


def role_of(name: str, modality: str = "current") -> str | None:
    """The role that a channel's name tells, ``None`` where it tells none."""
    known = _known(modality)
    text = unicodedata.normalize("NFC", name).strip().lower()
    if text in known:
        return text
    bare = re.sub(r"[\s_\-./:#]+", "", text)
    for form in (bare, _AROUND.sub("", text)):
        found = _BY_NAME.get(form)
        if found in known:
            return found
    return None


def choose(names: Sequence[str], named: bool, channels: str, modality: str) -> Chosen:
    """Give the channels of a file their roles.

    Args:
        names: what the file calls its channels.
        named: whether those names are the file's own.
        channels: the cell of the table: roles in the file's order, ``name=role`` pairs, or nothing.
        modality: ``current``, ``flux`` or ``vibration``.

    Raises:
        SignalUnreadable: a role or name that is not known, too many or too few roles, or a role given twice.
    """
    stated = [part.strip() for part in re.split(r"[,;|\n]+", channels) if part.strip()]
    if len(stated) == 1 and "=" not in stated[0] and role_of(stated[0], modality) is None:
        stated = stated[0].split()
    if any("=" in part for part in stated):
        chosen = _by_pairs(names, stated, modality)
    elif stated:
        chosen = _by_order(names, stated, modality)
    else:
        chosen = _guessed(names, named, modality)
    twice = sorted({role for role in chosen.roles if chosen.roles.count(role) > 1})
    if twice:
        raise SignalUnreadable("signal_role_twice", role=twice[0], names=list(names))
    if not chosen.roles:
        raise SignalUnreadable("signal_roles_unknown", names=list(names), roles=list(_known(modality)))
    return chosen


def standard_rows(recording: SignalRecording, masked: Sequence[str] = ()) -> tuple[FloatArray, tuple[bool, ...]]:
    """The recording in the standard form.

    Args:
        recording: what was read.
        masked: roles whose rows are zeroed although they were measured, so that a model lives without them.

    Returns:
        The rows (4, n) in the order of ``ROWS``, and for each whether it holds a measured channel. Rows
        without one are zeros. NaN and infinities stay as they are (``clean``).

    Raises:
        ValueError: a masked role that no row has.
    """
    unknown = sorted(set(masked) - set(_ROW_OF))
    if unknown:
        raise ValueError(f"no channel has the role {unknown[0]!r}; there are {', '.join(_ROW_OF)}")
    rows = np.zeros((len(ROWS), recording.values.shape[1]), np.float32)
    present = [False] * len(ROWS)
    hidden = {_ROW_OF[role] for role in masked}
    for role, values in zip(recording.roles, recording.values, strict=True):
        row = _ROW_OF[role]
        if row not in hidden:
            rows[row] = values
            present[row] = True
    return rows, tuple(present)


def _known(modality: str) -> tuple[str, ...]:
    return AXES if modality == "vibration" else ROWS


def _by_pairs(names: Sequence[str], stated: Sequence[str], modality: str) -> Chosen:
    """``name=role``; the order of the two does not matter, as people write both."""
    folded = {_folded(name): place for place, name in enumerate(names)}
    pairs: list[tuple[int, str]] = []
    for part in stated:
        left, _, right = (text.strip() for text in part.partition("="))
        place, role = folded.get(_folded(left)), right
        if place is None and _folded(right) in folded:
            place, role = folded[_folded(right)], left
        if place is None:
            raise SignalUnreadable("signal_channel_unknown", name=left, names=list(names))
        if role.lower() not in _NOTHING:
            pairs.append((place, _stated_role(role, modality)))
    pairs.sort()
    return Chosen(tuple(place for place, _ in pairs), tuple(role for _, role in pairs))


def _by_order(names: Sequence[str], stated: Sequence[str], modality: str) -> Chosen:
    if len(stated) != len(names):
        raise SignalUnreadable(
            "signal_channel_count", stated=len(stated), found=len(names), roles=list(stated), names=list(names)
        )
    roles = [_SKIPPED if _skipped(text, modality) else _stated_role(text, modality) for text in stated]
    used = [(place, role) for place, role in enumerate(roles) if role != _SKIPPED]
    return Chosen(tuple(place for place, _ in used), tuple(role for _, role in used))


def _skipped(text: str, modality: str) -> bool:
    return text.lower() in _NOTHING and role_of(text, modality) is None


def _stated_role(text: str, modality: str) -> str:
    found = role_of(text, modality)
    if found:
        return found
    near = difflib.get_close_matches(text.lower(), _known(modality), n=1, cutoff=0.6)
    if near:
        raise SignalUnreadable("signal_role_unknown_near", role=text, near=near[0], roles=list(_known(modality)))
    raise SignalUnreadable("signal_role_unknown", role=text, roles=list(_known(modality)))


def _guessed(names: Sequence[str], named: bool, modality: str) -> Chosen:
    """By the names where one of them tells a role, else by their order where that is beyond doubt."""
    if named:
        roles = [role_of(name, modality) for name in names]
        used = [(place, role) for place, role in enumerate(roles) if role]
        if used:
            left = [name for name, role in zip(names, roles, strict=True) if not role]
            warnings = (Problem("warning", "signal_channels_left", {"names": left}),) if left else ()
            return Chosen(tuple(place for place, _ in used), tuple(role for _, role in used), warnings)
        if not all(_NUMBERED.fullmatch(name.strip()) for name in names) and len(names) > 1:
            raise SignalUnreadable("signal_roles_unknown", names=list(names), roles=list(_known(modality)))
    order = ("flux",) if modality == "flux" and len(names) == 1 else _known(modality)[: len(names)]
    if len(order) < len(names) or (len(names) == 2 and modality != "vibration"):
        raise SignalUnreadable("signal_roles_unknown", names=list(names), roles=list(_known(modality)))
    return Chosen(
        tuple(range(len(names))), order, (Problem("warning", "signal_roles_assumed", {"roles": list(order)}),)
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().lower()
