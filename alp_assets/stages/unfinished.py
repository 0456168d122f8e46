"""Work that outlives a killed run, in the data root's ``cache`` until the stage is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alp_assets.stages.package import PackageFolder


@contextmanager
def unfinished(folder: PackageFolder, stage: str, made_of: Any) -> Iterator[Path]:
    """Yield the folder of a stage's unfinished work; it is removed when the block ends well.

    What a killed or failed run left is found again by a run of the same ``made_of``; see ``working_place``. The
    package must be locked, and the stage published within the block: what could not be published is not lost.
    """
    place = folder.data_root / "cache" / stage / folder.key
    yield working_place(place, made_of)
    shutil.rmtree(place)


def give(path: Path, place: Path) -> None:
    """Let a folder have a file of unfinished work too, without room of its own where the disk knows links.

    Neither may be written to any more.
    """
    try:
        os.link(path, place / path.name)
    except OSError:
        shutil.copyfile(path, place / path.name)


def working_place(place: Path, made_of: Any) -> Path:
    """The folder below ``place`` for work that ``made_of`` decides: inputs by their hashes, settings, versions.

    It is there already where another run was at the same work. What was made of anything else is removed.
    ``made_of`` is what JSON can hold.
    """
    text = json.dumps(made_of, sort_keys=True, default=str)
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    if place.is_dir():
        for other in place.iterdir():
            if other.name != mark:
                shutil.rmtree(other, ignore_errors=True)
    (place / mark).mkdir(parents=True, exist_ok=True)
    return place / mark
