"""What metadata lets an engine learn: tasks, and the few-shot episodes that are drawn from them.

After Snell et al. 2017 (arXiv 1703.05175, section 3) for the episodes, and arXiv 2204.01905 (section 3) for
the tasks: telling apart the values of a column of metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alp_assets.engines.base import Normals, Strings

SECTION = "section_id"
COLUMNS = (SECTION, "speed_level", "load_level", "noise_id", "mic_position_id")
"""The columns of the contract that can make a task."""

_QUERIES = 3
"""Most query clips of a class in an episode."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Task:
    """Telling apart the values of ``column``: ``classes`` are the rows of each value, all in one section.

    Only the classes of ``section_id`` come from several.
    """

    column: str
    classes: tuple[Rows, ...]


@dataclass(frozen=True)
class Episode:
    """Rows of a draw: ``support`` (classes, shots), ``queries`` (q,) and the class of each query (q,)."""

    support: Rows
    queries: Rows
    labels: Rows


def carrying_conditions(
    conditions: Mapping[str, Strings],
    others: Mapping[str, Strings] | None = None,
    *,
    k_shot: int,
    recordings: Strings | None = None,
    share: float = 0.0,
    values: int = 2,
) -> tuple[list[str], dict[str, str]]:
    """Which of ``COLUMNS`` can make a task, and for each of the others the reason why not, in words.

    Args:
        conditions: columns (n,) of the section's normals, empty text where nothing was said.
        others: the same columns (m,) of normals of other sections of the machine type; they count for
            ``section_id`` alone.
        k_shot: support clips of a class; a value needs one clip more to be a class.
        recordings: the recording (n,) of each of the section's normals. Where given, a value must come from
            two at least, or nothing of it would be left to learn from when one is held out for calibration.
        share: of the normals that must say the column at all.
        values: how many values must be classes.
    """
    usable, reasons = [], {}
    for column in COLUMNS:
        said, sources = _column(conditions, column), recordings
        if column == SECTION and others:
            said, sources = np.concatenate([said, _column(others, column)]), None
        if reason := _why_not(said, sources, k_shot + 1, share, values):
            reasons[column] = f"{column}: {reason}"
        else:
            usable.append(column)
    return usable, reasons


def tasks_of(normals: Normals, columns: Sequence[str], k_shot: int) -> list[list[Task]]:
    """The tasks of each of the columns, in the section and in each of the other sections.

    Rows count through the normals and on through ``normals.extra``. Columns without a task are left out.
    """
    pools = [normals] if normals.extra is None else [normals, normals.extra]
    said = {name: np.concatenate([_said(pool, name) for pool in pools]) for name in {SECTION, *columns}}
    own = np.arange(len(said[SECTION])) < len(normals)
    places = [own, *(~own & (said[SECTION] == name) for name in np.unique(said[SECTION][~own]))]
    found = []
    for column in columns:
        among = [np.ones(len(own), bool)] if column == SECTION else places
        tasks = [Task(column, _classes(said[column], place, k_shot + 1)) for place in among]
        if carried := [task for task in tasks if len(task.classes) > 1]:
            found.append(carried)
    return found


def draw_episode(rng: np.random.Generator, task: Task, recordings: Strings, n_way: int, k_shot: int) -> Episode:
    """An episode of up to ``n_way`` classes. Queries are of other recordings than the support, if there are any.

    Args:
        rng: where chance comes from.
        task: what is drawn from.
        recordings: the recording (n,) of every row.
        n_way: most classes.
        k_shot: support clips of a class.
    """
    chosen = rng.choice(len(task.classes), min(n_way, len(task.classes)), replace=False)
    support, queries, labels = [], [], []
    for label, number in enumerate(chosen):
        rows = rng.permutation(task.classes[number])
        shots, rest = rows[:k_shot], rows[k_shot:]
        strangers = rest[~np.isin(recordings[rest], recordings[shots])]
        asked = (strangers if len(strangers) else rest)[:_QUERIES]
        support.append(shots)
        queries.append(asked)
        labels.append(np.full(len(asked), label))
    return Episode(np.stack(support), np.concatenate(queries), np.concatenate(labels))


def _why_not(said: Strings, recordings: Strings | None, clips: int, share: float, values: int) -> str:
    """Why a column makes no task, or nothing when it does."""
    names, counts = np.unique(said[said != ""], return_counts=True)
    total, filled = len(said), int(counts.sum())
    if not filled:
        return "no normal says it"
    if filled < share * total:
        return f"{filled} of {total} normals say it, and {share:.0%} are needed"
    if len(names) == 1:
        where = "everywhere" if filled == total else f"in the {filled} of {total} normals that say it"
        return f"one value {where} ('{names[0]}')"
    order = np.argsort(-counts, kind="stable")[:4]
    shown = ", ".join(f"'{names[i]}' {counts[i]}" for i in order) + ", ..." * (len(names) > len(order))
    heard = f"{filled} of {total} normals say it ({shown})"
    enough = names[counts >= clips]
    if len(enough) < values:
        return f"{heard}, and {values} values with {clips} clips are needed"
    if recordings is not None:
        several = sum(len(set(recordings[said == name].tolist())) > 1 for name in enough)
        if several < values:
            return f"{heard}, and {values} values with clips of two recordings are needed (there: {several})"
    return ""


def _column(conditions: Mapping[str, Strings], column: str) -> Strings:
    count = max((len(values) for values in conditions.values()), default=0)
    return np.asarray(conditions.get(column, np.zeros(count, np.str_)), dtype=np.str_)


def _said(normals: Normals, column: str) -> Strings:
    return np.asarray(normals.conditions.get(column, np.zeros(len(normals), np.str_)), dtype=np.str_)


def _classes(said: Strings, place: npt.NDArray[np.bool_], clips: int) -> tuple[Rows, ...]:
    """The rows of every value that has enough clips in a place."""
    rows = (np.flatnonzero(place & (said == name)) for name in np.unique(said[place]) if name)
    return tuple(found for found in rows if len(found) >= clips)
