"""What a reader may not do while it reads: write elsewhere, start programs, unpickle, talk to the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {
    "os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "shutil.rmtree": 1, "shutil.move": 2, "tempfile.mkstemp": 1,
    "tempfile.mkdtemp": 1,
}  # fmt: skip
_NEVER = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.connect",
     "socket.bind", "pickle.find_class", "marshal.loads", "code.__new__", "shutil.unpack_archive"}
)  # fmt: skip


class Watch:
    """An audit hook that notes what is done outside one folder. Once set it stays for the whole process."""

    def __init__(self, folder: Path) -> None:
        self._inside = os.path.realpath(folder)
        self._on = False
        self.seen: list[str] = []
        sys.addaudithook(self._heard)

    def __enter__(self) -> Watch:
        self.seen = []
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and (flags or 0) & _WRITES and not self._allowed(path):
                self.seen.append(f"open {path!r} {mode} {flags:#x}")
        elif event in _PATHS:
            for path in arguments[: _PATHS[event]]:
                if not self._allowed(path):
                    self.seen.append(f"{event} {path!r}")
        elif event in _NEVER and not (event in ("marshal.loads", "code.__new__") and _importing()):
            self.seen.append(f"{event} {arguments!r}"[:200])

    def _allowed(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # an open file, which was looked at when it was opened
        place = os.path.realpath(os.fsdecode(path))
        return place == os.devnull or place == self._inside or place.startswith(self._inside + os.sep)


def _importing() -> bool:
    """Whether the import system is at work: it unmarshals modules."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
