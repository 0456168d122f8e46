"""Where things lie: the data root, and the Dagster instance that belongs to it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.params import PROJECT

INSTANCE_CONFIG = PROJECT / "deploy" / "dagster.yaml"

# a Path folds the two slashes into one
_URL = re.compile(r"(?P<kind>[a-z][a-z0-9+.-]+):/{1,2}(?P<place>[^/].*)")


def data_root() -> Path:
    """``$ALP_DATA``, else ``data/`` of the checkout.

    Of a bucket (``s3://bucket/prefix``) it is the folder in ``cache_folder()`` that holds this machine's part.
    """
    named = os.environ.get("ALP_DATA") or str(PROJECT / "data")
    return _mirror(named) or Path(named).expanduser().resolve()


def object_url(root: Path) -> str | None:
    """The bucket that a data root is this machine's part of: ``s3://bucket/prefix``, or None on a disk."""
    named = os.environ.get("ALP_DATA", "")
    found = _URL.fullmatch(named)
    if found is None or _mirror(named) != root:
        return None
    return f"{found['kind']}://{found['place'].rstrip('/')}"


def cache_folder() -> Path:
    """``$ALP_CACHE``, else ``alp`` in the user's cache folder: where parts of buckets are kept."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("ALP_CACHE") or users / "alp").expanduser().resolve()


def _mirror(named: str) -> Path | None:
    """The local folder of a URL; None for a path.

    Raises:
        AlpError: it cannot be the URL of a bucket.
    """
    found = _URL.fullmatch(named)
    if found is None:
        return None
    place = found["place"].rstrip("/")
    if found["kind"] != "s3" or not re.fullmatch(r"[\w.-]+(/[\w.=+@ -]+)*", place) or ".." in place.split("/"):
        raise AlpError(f"ALP_DATA: {named} is no data root. Write a folder, or s3://bucket/prefix.")
    return cache_folder() / "s3" / place


def keep_caches_in(root: Path) -> None:
    """Let libraries keep their caches in the data root instead of the user's home and /var/tmp."""
    os.environ.setdefault("MPLCONFIGDIR", str(root / "cache" / "matplotlib"))
    os.environ.setdefault("DVC_SITE_CACHE_DIR", str(root / "cache" / "dvc"))


def dagster_home(root: Path) -> Path:
    """The folder of ``home_of``, made and configured when it is not there."""
    home = home_of(root)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        write_bytes(home / "dagster.yaml", INSTANCE_CONFIG.read_bytes())
    return home


def home_of(root: Path) -> Path:
    """``$DAGSTER_HOME``, else ``dagster/`` in the data root: where its Dagster instance is, or would be."""
    chosen = os.environ.get("DAGSTER_HOME")
    return Path(chosen).expanduser().resolve() if chosen else root / "dagster"


def chosen_root(data: Path | None) -> Path:
    """The data root that a command looks at, also for everything that this process starts."""
    if data is not None:
        os.environ["ALP_DATA"] = str(data)
    return data_root()


def open_root(data: Path | None) -> Path:
    """The data root that a command works in, also for everything that this process starts.

    Raises:
        AlpError: it cannot be written to.
    """
    root = chosen_root(data)
    place = next(path for path in (root, *root.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise AlpError(f"{root}: cannot be written to. Choose another data root with --data or ALP_DATA.")
    keep_caches_in(root)
    return root
