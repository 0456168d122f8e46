"""Notices: what people are told without asking, kept in the data root until it has been delivered.

A sensor that finds something writes a notice into ``watch/outbox``; another delivers it. So a receiver that is
down holds nobody up, and loses nothing until ``notices.tries`` are over: then a person looks at ``undelivered``.
Neither grows without end. What finds no room is dropped: that is logged, and told in ``watch/dropped.txt``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from alp_assets.files import write_json
from alp_assets.watch.redact import redact
from alp_assets.watch_params import NoticeKind, NoticeParams
from schemas.texts import read_texts

Level = Literal["problem", "warning"]
_LEVELS: Mapping[NoticeKind, Level] = {
    "failed": "problem",
    "refused": "problem",
    "drift": "warning",
    "promise": "warning",
    "snapshot": "warning",
    "silent": "warning",
}
MOST_WAITING = 1_000
MOST_KEPT = 200
_LONGEST_TEXT = 2_000
_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 3_600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """One thing that somebody should know.

    Attributes:
        id: the same for the same event, so that a receiver can tell a repetition.
        kind: what happened; ``customer`` and ``package`` are empty where it is about no one's.
        text: what is known of it, in a sentence or two.
        at: ISO 8601, UTC; ``run_id`` is Dagster's, where there is one.
        sent: the channels that have it already.
        tries: how often delivery failed; not before ``next_try`` (seconds since 1970) again. ``error`` is why.
    """

    id: str
    kind: NoticeKind
    customer: str
    package: str
    text: str
    at: str
    run_id: str = ""
    sent: tuple[str, ...] = ()
    tries: int = 0
    next_try: float = 0.0
    error: str = field(default="")

    @property
    def level(self) -> Level:
        """How bad it is."""
        return _LEVELS[self.kind]

    def words(self, language: Literal["en", "ko"]) -> tuple[str, str]:
        """Subject and body for people."""
        texts = read_texts("notices", language)
        gaps = {"customer": self.customer, "package": self.package, "text": self.text, "at": self.at}
        kind = texts[self.kind]
        lines = [
            kind["body"].format(**gaps),
            "",
            kind["next"].format(**gaps),
            "",
            texts["foot"]["at"].format(**gaps),
        ]
        if self.run_id:
            lines.append(texts["foot"]["run"].format(run=self.run_id))
        return " ".join(kind["subject"].format(**gaps).split()), "\n".join(lines)

    def payload(self, language: Literal["en", "ko"]) -> dict[str, Any]:
        """What the webhook's body holds."""
        subject, body = self.words(language)
        return {
            "id": self.id,
            "kind": self.kind,
            "level": self.level,
            "customer": self.customer or None,
            "package": self.package or None,
            "run_id": self.run_id or None,
            "at": self.at,
            "subject": subject,
            "text": body,
        }


@dataclass(frozen=True)
class Counts:
    """How many notices wait, could not be delivered, and were dropped as there was no room for them."""

    waiting: int = 0
    undelivered: int = 0
    dropped: int = 0

    def __str__(self) -> str:
        return f"{self.waiting:,} waiting, {self.undelivered:,} undelivered, {self.dropped:,} dropped"


class Outbox:
    """The notices of a data root that wait to be delivered."""

    def __init__(self, data_root: Path) -> None:
        self._waiting = data_root / "watch" / "outbox"
        self._undelivered = data_root / "watch" / "undelivered"
        self._dropped = data_root / "watch" / "dropped.txt"

    def put(
        self,
        params: NoticeParams,
        kind: NoticeKind,
        text: str,
        *,
        customer: str = "",
        package: str = "",
        run_id: str = "",
        about: str = "",
    ) -> Notice | None:
        """Let somebody be told, if anybody wants to know. ``about`` tells events apart that have no run.

        None where nobody does, or where so many wait already that it was dropped.
        """
        if not params.wanted or kind not in params.kinds:
            return None
        name = hashlib.sha256("\0".join((kind, customer, package, run_id, about)).encode()).hexdigest()[:24]
        told = redact(text.strip())[:_LONGEST_TEXT]
        notice = Notice(name, kind, customer, package, told, _now(), run_id)
        if self._file(notice).exists():
            return notice
        if self.counts().waiting >= MOST_WAITING:
            self._drop(notice, f"{MOST_WAITING:,} wait already")
            return None
        write_json(self._file(notice), asdict(notice))
        return notice

    def due(self, now: float, most: int) -> list[Notice]:
        """The notices whose time has come, those first that have waited for it longest."""
        found = [notice for path in self._waiting.glob("*.json") if (notice := _read(path)) is not None]
        # a wait longer than any that is ever set means that the clock was put back
        ready = [item for item in found if item.next_try <= now or item.next_try > now + 2 * _LONGEST_WAIT_S]
        return sorted(ready, key=lambda notice: (notice.next_try, notice.tries, notice.at))[:most]

    def done(self, notice: Notice) -> None:
        """Forget a notice that everybody has."""
        self._file(notice).unlink(missing_ok=True)

    def skipped(self, notice: Notice, now: float) -> None:
        """Keep a notice that its receiver was not asked to take: it has lost no try, and others come first."""
        write_json(self._file(notice), asdict(replace(notice, next_try=now)))

    def failed(self, notice: Notice, error: str, params: NoticeParams, now: float) -> Notice:
        """Keep a notice for another try, later each time; after the last among the undelivered."""
        tries = notice.tries + 1
        wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tries - 1))
        kept = replace(notice, tries=tries, next_try=now + wait, error=redact(error))
        if tries < params.tries:
            write_json(self._file(kept), asdict(kept))
            return kept
        write_json(self._undelivered / f"{kept.id}.json", asdict(kept))
        self._file(kept).unlink(missing_ok=True)
        for old in sorted(self._undelivered.glob("*.json"), key=_age)[:-MOST_KEPT]:
            if (gone := _read(old)) is not None:
                self._drop(gone, f"{MOST_KEPT} younger ones could not be delivered either")
            old.unlink(missing_ok=True)
        return kept

    def counts(self) -> Counts:
        """How many there are of each."""
        waiting, undelivered = (len(list(place.glob("*.json"))) for place in (self._waiting, self._undelivered))
        try:
            dropped = self._dropped.read_bytes().count(b"\n")
        except FileNotFoundError:
            dropped = 0
        return Counts(waiting, undelivered, dropped)

    def _drop(self, notice: Notice, why: str) -> None:
        about = " ".join(filter(None, (notice.at, notice.kind, notice.customer, notice.package, notice.run_id)))
        _log.warning("a notice is dropped, because %s: %s", why, about)
        self._dropped.parent.mkdir(parents=True, exist_ok=True)
        with self._dropped.open("a", encoding="utf-8") as file:
            file.write(f"{about}\n")

    def _file(self, notice: Notice) -> Path:
        return self._waiting / f"{notice.id}.json"


def _read(path: Path) -> Notice | None:
    try:
        found = json.loads(path.read_bytes())
        return Notice(**{**found, "sent": tuple(found["sent"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
