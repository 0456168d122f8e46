"""Where versions go, and whether any has waited for too long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from alp_assets.home import object_url
from alp_assets.watch.doctor.finding import Finding, ok, problem, warning

_LONG_S = 2 * 3600.0
"""Longer than what the sensor ``versions`` lets anything wait for its next try."""


def versioning(data_root: Path) -> Iterator[Finding]:
    """The repository, and what waits to come into it or to leave this disk."""
    yield _repository(data_root)
    yield from _waiting(data_root)


def _waiting(data_root: Path) -> Iterator[Finding]:
    if object_url(data_root) is not None:
        return
    from alp_assets.versions.queue import Queue
    from alp_assets.versions.unpushed import Unpushed

    queue, unpushed = Queue(data_root), Unpushed(data_root)
    waiting = {"to be versioned": queue.since(), "to be copied to the remote": unpushed.since()}
    for what, since in waiting.items():
        if since is not None and time.time() - since > _LONG_S:
            hours = (time.time() - since) / 3600
            yield warning(
                "versions",
                f"something has waited for {hours:,.0f} hours {what}",
                "`alp snapshot` does it now, or says what keeps it.",
            )


def _repository(data_root: Path) -> Finding:
    """Where versions go: a DVC repository in git, with a remote that survives this disk."""
    place = next((path for path in (data_root, *data_root.parents) if (path / ".dvc" / "config").is_file()), None)
    if place is None:
        return warning(
            "repository",
            f"{data_root} lies in no DVC repository",
            "`alp init` makes one; without it the first snapshot makes one that has no history.",
        )
    if not any((path / ".git").exists() for path in (place, *place.parents)):
        return warning(
            "repository",
            f"{place} is a DVC repository without git, so nothing can be brought back as it was",
            "Run `alp init` on the data root.",
        )
    config = (place / ".dvc" / "config").read_text(encoding="utf-8")
    if "remote" not in config and not (place / ".dvc" / "config.local").is_file():
        return warning(
            "repository",
            f"{place} has no DVC remote: versions lie on this disk alone",
            f"`alp init {place} --remote URL` gives it one.",
        )
    remote = _remote_folder(place / ".dvc")
    if remote is not None and not remote.is_dir():
        return problem(
            "repository",
            f"{place}: its DVC remote {remote} is not there, so no version leaves this disk",
            "Mount its disk. Where it is gone for good, make the folder or give another remote (`alp init DIR "
            "--remote URL`), and `alp snapshot` copies every version there.",
        )
    return ok("repository", str(place))


def _remote_folder(settings: Path) -> Path | None:
    """DVC's default remote, where that is a folder."""
    from dvc.config import Config

    found = Config(dvc_dir=str(settings), validate=False)
    url = str(found["remote"].get(found["core"].get("remote"), {}).get("url", ""))
    return Path(url).expanduser() if url and "://" not in url else None
