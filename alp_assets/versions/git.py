"""Git, as the versions need it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alp_assets.errors import VersionRefused

_STALE_LOCK_S = 10.0
_POLL_S = 0.1
_SETTINGS = ("core.quotepath=false", "gc.autoDetach=false", "commit.gpgsign=false", "log.showSignature=false")
_QUIET = [word for setting in _SETTINGS for word in ("-c", setting)]
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What a git hook that started us would have us work on."""


@dataclass(frozen=True)
class Commit:
    """A commit: ``at`` is ISO 8601, ``subject`` its first line and ``body`` the rest."""

    commit: str
    at: str
    who: str
    subject: str
    body: str


@dataclass(frozen=True)
class Git:
    """The git repository of a folder."""

    root: Path

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Run git and give what it prints; ``VersionRefused`` with what it says when it fails."""
        done = self._run(arguments, given)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise VersionRefused(f"{self.root}: git {' '.join(arguments)[:80]} failed: {said}")
        return done.stdout

    def asked(self, *arguments: str) -> str | None:
        """What git prints, or ``None`` when it says no."""
        done = self._run(arguments, None)
        return None if done.returncode else done.stdout

    def is_repository(self) -> bool:
        """Whether the folder is the top of a working tree."""
        return (self.root / ".git").exists()

    def committed(self, paths: Sequence[str], message: str) -> str:
        """Commit these paths, also where they are gone; the commit that holds the first one as it is.

        Other changes in the working tree stay what they are.
        """
        self._break_stale_locks()
        self("add", "--all", "--", *paths)
        if self.asked("diff", "--cached", "--quiet", "--", *paths) is None:
            self(*self._identity(), "commit", "--quiet", "--no-verify", "--file=-", "--", *paths, given=message)
        return self("log", "-1", "--format=%H", "--", paths[0]).strip()

    def log(self, *arguments: str) -> list[Commit]:
        """The commits that ``git log`` shows, the latest first; none where nothing was committed yet."""
        if self.asked("rev-parse", "--verify", "--quiet", "HEAD") is None:
            return []
        text = self("log", "--format=%H%x1f%cI%x1f%an%x1f%s%x1f%b%x1e", *arguments)
        parts = [item.strip("\n").split("\x1f") for item in text.split("\x1e") if item.strip()]
        return [Commit(commit, at, who, subject, body.strip()) for commit, at, who, subject, body in parts]

    def _identity(self) -> tuple[str, ...]:
        """Who commits, as far as nobody told git."""
        ours = {"user.name": "ALP", "user.email": "alp@localhost"}
        lacking = [name for name in ours if not (self.asked("config", name) or "").strip()]
        return tuple(word for name in lacking for word in ("-c", f"{name}={ours[name]}"))

    def _break_stale_locks(self) -> None:
        """Remove what a killed git left behind; a lock that another git may hold gets time to go.

        Whoever calls holds ALP's own lock, so nothing of ALP commits now.
        """
        inside, end = self.root / ".git", time.monotonic() + _STALE_LOCK_S
        for lock in [*inside.glob("*.lock"), *inside.glob("refs/heads/**/*.lock")]:
            with suppress(FileNotFoundError):
                while not (stale := _age(lock) > _STALE_LOCK_S) and time.monotonic() < end:
                    time.sleep(_POLL_S)
                if stale:
                    lock.unlink()

    def _trusted(self) -> tuple[str, ...]:
        """Let git work in a folder of another user, as those of volumes are, where what git keeps is ours."""
        try:
            ours = (self.root / ".git").stat().st_uid == os.geteuid()
        except FileNotFoundError:
            return ()
        return ("-c", f"safe.directory={self.root}") if ours else ()

    def _run(self, arguments: Sequence[str], given: str | None) -> subprocess.CompletedProcess[str]:
        program = shutil.which("git")
        if program is None:
            raise VersionRefused("There is no git on this machine. Install it: git and DVC keep the versions.")
        environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        return subprocess.run(  # noqa: S603 - git itself, and no shell
            [program, "-C", str(self.root), *_QUIET, *self._trusted(), *arguments],
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env={**environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"},
        )


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
