"""Where things lie: the data root, and the Dagster instance that belongs to it."""

from __future__ import annotations

import os
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.params import PROJECT

INSTANCE_CONFIG = PROJECT / "deploy" / "dagster.yaml"


def data_root() -> Path:
    """``$ALP_DATA``, else ``data/`` of the checkout."""
    return Path(os.environ.get("ALP_DATA") or PROJECT / "data").expanduser().resolve()


def keep_caches_in(root: Path) -> None:
    """Let libraries keep their caches in the data root instead of the user's home and /var/tmp."""
    os.environ.setdefault("MPLCONFIGDIR", str(root / "cache" / "matplotlib"))
    os.environ.setdefault("DVC_SITE_CACHE_DIR", str(root / "cache" / "dvc"))


def dagster_home(root: Path) -> Path:
    """``$DAGSTER_HOME``, else ``dagster/`` in the data root, made and configured when it is not there."""
    chosen = os.environ.get("DAGSTER_HOME")
    home = Path(chosen).expanduser().resolve() if chosen else root / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        write_bytes(home / "dagster.yaml", INSTANCE_CONFIG.read_bytes())
    return home


def open_root(data: Path | None) -> Path:
    """The data root that a command works in, also for everything that this process starts.

    Raises:
        AlpError: it cannot be written to.
    """
    if data is not None:
        os.environ["ALP_DATA"] = str(data)
    root = data_root()
    place = next(path for path in (root, *root.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise AlpError(f"{root}: cannot be written to. Choose another data root with --data or ALP_DATA.")
    keep_caches_in(root)
    return root
