"""Work that outlives a killed run, in the data root's ``cache`` until the stage is whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alp_assets.stages.package import PackageFolder


@contextmanager
def unfinished(folder: PackageFolder, stage: str, made_of: Any) -> Iterator[Path]:
    """Yield the folder of a stage's unfinished work; it is removed when the block ends well.

    What a killed or failed run left is found again by a run of the same ``made_of``, which holds in JSON all that
    decides the work: inputs by their hashes, settings, versions. What was made of anything else is removed. The
    package must be locked.
    """
    text = json.dumps(made_of, sort_keys=True, default=str)
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    place = folder.data_root / "cache" / stage / folder.key
    if place.is_dir():
        for other in place.iterdir():
            if other.name != mark:
                shutil.rmtree(other)
    (place / mark).mkdir(parents=True, exist_ok=True)
    yield place / mark
    shutil.rmtree(place)
