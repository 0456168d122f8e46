"""What a cluster holds while it works: memory by part, and what it has written to its databases."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.cluster.local import Cluster
from deploy.cluster.place import DATABASE, REGISTRY, Place

_EVERY_S = 3.0


@dataclass
class Memory:
    """Samples of seconds, packages finished, and 10^6 bytes by part; a page that processes share counts once."""

    samples: list[tuple[float, int, dict[str, float]]] = field(default_factory=list)

    def slopes(self) -> dict[str, float]:
        """10^6 bytes that each part grows by in 100 packages, over the second half of the packages."""
        import numpy as np

        late = [sample for sample in self.samples if sample[1] >= self.samples[-1][1] / 2]
        done = [sample[1] for sample in late]
        if len(set(done)) < 2:
            return {}
        return {
            part: float(100 * np.polyfit(done, [sample[2][part] for sample in late], 1)[0])
            for part in self.samples[-1][2]
        }

    def at(self, share: float) -> tuple[float, int, dict[str, float]]:
        """The sample at which a share of the packages was finished."""
        wanted = share * self.samples[-1][1]
        return next(sample for sample in self.samples if sample[1] >= wanted)


class MemoryWatch:
    """Takes a sample every few seconds, in a thread, until it is closed."""

    def __init__(self, cluster: Cluster) -> None:
        self.memory, self.done = Memory(), 0
        self._cluster, self._began = cluster, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> Memory:
        """What has been seen."""
        self._ended.set()
        self._thread.join()
        return self.memory

    def _watch(self) -> None:
        while True:
            self.memory.samples.append((time.monotonic() - self._began, self.done, memory_of(self._cluster)))
            if self._ended.wait(_EVERY_S):
                return


def memory_of(cluster: Cluster) -> dict[str, float]:
    """10^6 bytes of each part and everything that it started."""
    children = _children()
    supervisor = cluster.supervisor
    return {name: sum(map(_held, _tree(supervisor.pid(name), children))) for name in supervisor.names()}


def processor_seconds(cluster: Cluster) -> dict[str, float]:
    """Seconds of a processor that each part has used so far, with what it started and has ended."""
    children = _children()
    supervisor = cluster.supervisor
    return {name: sum(map(_used, _tree(supervisor.pid(name), children))) for name in supervisor.names()}


def database_rows(place: Place) -> dict[str, tuple[int, int]]:
    """Rows and bytes, with indexes, of every table that has any."""
    import psycopg

    found = {}
    for database in (DATABASE, REGISTRY):
        with psycopg.connect(place.database_url(database), autocommit=True) as connection:
            names = [row[0] for row in connection.execute("SELECT relname FROM pg_stat_user_tables")]
            for name in names:
                rows = connection.execute(f'SELECT count(*) FROM "{name}"'.encode()).fetchone()
                size = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone()
                assert rows is not None
                assert size is not None
                found[f"{database}.{name}"] = (int(rows[0]), int(size[0]))
    return found


def per_package(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], packages: int
) -> dict[str, dict[str, float]]:
    """Rows and bytes that each package added to each table that grew."""
    grown = {}
    for name, (rows, size) in after.items():
        old_rows, old_size = before.get(name, (0, 0))
        if rows > old_rows:
            grown[name] = {"rows": (rows - old_rows) / packages, "bytes": (size - old_size) / packages}
    return grown


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _tree(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(below for child in children.get(pid, []) for below in _tree(child, children))]


def _used(pid: int) -> float:
    with suppress(OSError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _held(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
