"""A lock among machines that share a bucket alone: an object which only one can write, and which grows old."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

from alp_assets.errors import PackageBusy, StoreFailed
from alp_assets.store.bucket import Bucket, Held

SECONDS = 60.0
"""So long after it was last renewed a lease is given up for that of a dead process."""


class Lease:
    """Hold ``key`` while a block runs, renewed by a thread four times as often as it would run out.

    Ages are told by the server's clock, so that the clocks of the machines may be wrong. Who finds a lease waits
    to see whether it is renewed: then somebody is at work.

    Raises:
        PackageBusy: another process holds it; ``busy`` is the text.
    """

    def __init__(self, bucket: Bucket, key: str, busy: str, seconds: float = SECONDS) -> None:
        self._bucket, self._key, self._busy, self._seconds = bucket, key, busy, seconds
        self._etag: str | None = None
        self._holder = secrets.token_hex(16)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._renew, name="alp-lease", daemon=True)

    def __enter__(self) -> Lease:
        self._etag = self._acquire()
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StoreFailed):  # it runs out by itself
            found = self._bucket.read(self._key)
            if found is not None and found.etag == self._etag:
                self._bucket.delete([self._key])

    def check(self) -> None:
        """``PackageBusy`` when somebody took the lease, because it could not be renewed in time."""
        if not self._renewed():
            raise PackageBusy(f"{self._busy} The lock of this process ran out, so that its work is not published.")

    def _acquire(self) -> str:
        before: Held | None = None
        until = time.monotonic() + 2 * self._seconds
        while time.monotonic() < until:
            if etag := self._written(only_new=True):
                return etag
            found = self._bucket.read(self._key)
            if found is None:
                continue
            if before is not None and found.etag != before.etag:
                break
            if found.age_s > self._seconds:
                if etag := self._written(over=found.etag):
                    return etag
                break
            before = found
            time.sleep(self._seconds / 60)
        raise PackageBusy(self._busy)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 4):
            with suppress(StoreFailed):  # asked again soon
                if not self._renewed():
                    return

    def _renewed(self) -> bool:
        """Renew the lease; False when another one holds it."""
        with self._lock:
            if self._etag is not None:
                self._etag = self._written(over=self._etag)
            return self._etag is not None

    def _written(self, *, only_new: bool = False, over: str | None = None) -> str | None:
        """The ETag of the lease once it is ours. It may be so though the answer that said so got lost."""
        etag = self._bucket.write(self._key, self._body(), only_new=only_new, over=over)
        if etag is None:
            found = self._bucket.read(self._key)
            return found.etag if found is not None and self._holder.encode() in found.data else None
        return etag

    def _body(self) -> bytes:
        """Who holds it, for people; never the same twice, so that a renewal shows."""
        told = {"host": socket.gethostname(), "process": os.getpid(), "holder": self._holder}
        return json.dumps({**told, "renewal": secrets.token_hex(8)}).encode()
