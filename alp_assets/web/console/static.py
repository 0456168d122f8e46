"""Scripts, styles and pictures of the pages, at an address that changes with what they hold.

So browsers may keep them for ever, and a page never meets files of another version than its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.responses import Response

_FOLDER = Path(__file__).parents[1] / "static"


def _version(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


STATIC_URL = f"/static/{_version(_FOLDER)}"
"""Where the files are served; no slash at the end."""


def static_files() -> StaticFiles:
    """The app that serves the files."""
    return _KeptFiles(directory=_FOLDER)


class _KeptFiles(StaticFiles):
    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response
