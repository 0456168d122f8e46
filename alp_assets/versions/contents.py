"""What a version of a package says: its figures, parameters, clips and scores."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from alp_assets.errors import VersionRefused
from alp_assets.stages.clips import CLIPS_FILE
from alp_assets.stages.marked import unmarked
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.scores import COLUMNS, METRICS_FILE, SCORES_FILE
from alp_assets.versions.revisions import Revision
from alp_assets.versions.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Contents:
    """A version as it can be read; files are read when they are asked for, and fetched where not at hand.

    Attributes:
        name: what people call the version.
        has: whether there is a file of that path inside the package.
        read: its bytes.
    """

    name: str
    has: Callable[[str], bool]
    read: Callable[[str], bytes]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` held; nothing where the package was not scored."""
        path = f"scores/{METRICS_FILE}"
        found: dict[str, Any] = json.loads(self.read(path)) if self.has(path) else {}
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it was scored with, by dotted name."""
        return flat(self.metrics.get("parameters", {}))

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The entry of each section in ``metrics.json``, by its name."""
        return {entry["section"]: entry for entry in self.metrics.get("sections", [])}

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The rows of ``scores.csv`` by clip."""
        import pandas as pd

        path = f"scores/{SCORES_FILE}"
        if not self.has(path):
            return pd.DataFrame(columns=list(COLUMNS)).set_index("clip_id")
        numbers = {"score": float, "severity": float, "threshold": float}
        types = {name: numbers.get(name, str) for name in COLUMNS}
        blank = {name: [""] for name in numbers}
        data = io.BytesIO(self.read(path))
        try:
            table = pd.read_csv(data, dtype=types, keep_default_na=False, na_values=blank)
            return unmarked(table).set_index("clip_id")
        except (KeyError, ValueError) as error:
            raise VersionRefused(
                f"{path}: is damaged ({error}). Run the stage scores again, or `alp restore` the version."
            ) from error

    @cached_property
    def clips(self) -> dict[str, str]:
        """The hash of every clip's audio, by clip."""
        import pandas as pd

        path = f"clips/{CLIPS_FILE}"
        if not self.has(path):
            return {}
        table = pd.read_parquet(io.BytesIO(self.read(path)), columns=["clip_id", "audio_sha256"])
        return dict(zip(table["clip_id"].astype(str), table["audio_sha256"].astype(str), strict=True))


def contents_of(store: Store, revision: Revision) -> Contents:
    """A version that DVC holds."""
    files = store.files(revision.outs)
    return Contents(revision.name, files.__contains__, lambda path: store.read(files[path]))


def present(folder: PackageFolder) -> Contents:
    """The package as it lies there.

    Raises:
        VersionRefused: it lies there no more.
    """
    if not folder.path.is_dir():
        raise VersionRefused(f"{folder.path}: the package is not there. Name two versions, or `alp restore` it.")
    return Contents(
        "working tree",
        lambda path: (folder.path / path).is_file(),
        lambda path: (folder.path / path).read_bytes(),
    )


def flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A tree of parameters by dotted name."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) and value else {before + name: value}
    return found
