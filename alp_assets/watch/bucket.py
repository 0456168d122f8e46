"""Packages of a data root in a bucket, of which this machine holds a part.

The bucket is asked which stages there are, as the folders here may be of long ago or gone to make room; of each
stage the small files that tell of it are fetched. Packages that were finished or refused at an earlier look are
not asked about again for ``_SETTLED_S``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.store.base import Store
from alp_assets.watch.packages import STAGES, Package, arrived_one, read_package
from schemas.sections import SLUG

_AT_ONCE = 16
_SETTLED_S = 600.0
_FILES = {"upload": ("receipt.json",), "scores": ("metrics.json",)}
_REJECTED = "rejected"


class BucketPackages:
    """The packages of a bucket, with what is known of them from earlier looks."""

    def __init__(self, data_root: Path, store: Store, *, promises: bool) -> None:
        self._root, self._store, self._promises = data_root, store, promises
        self._known: dict[str, tuple[float, Package]] = {}

    def look(self) -> Iterable[Package]:
        """All packages that have a folder.

        Raises:
            AlpError: the bucket cannot be asked.
        """
        places = [
            f"packages/{customer}/{package}"
            for customer in self._slugs("packages")
            for package in self._slugs(f"packages/{customer}")
        ]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="alp-look") as pool:
            found = dict(zip(places, pool.map(self._one, places), strict=True))
        self._known = found
        return [package for _, package in found.values()]

    def waiting(self) -> Iterator[Package]:
        """What lies in the inbox."""
        files = {item.name: item for item in self._store.arrived("inbox")}
        for name, item in files.items():
            package = arrived_one(name, item.modified_ns / 1e9, item.bytes, files)
            if package is not None:
                yield package

    def _slugs(self, place: str) -> list[str]:
        return [name for name in self._store.below(place) if SLUG.fullmatch(name)]

    def _one(self, place: str) -> tuple[float, Package]:
        now = time.monotonic()
        before = self._known.get(place)
        if before is not None and now - before[0] < _SETTLED_S and _settled(before[1]):
            return before
        names = frozenset(self._store.below(place))
        for stage in STAGES:
            if stage in names:
                self._fetch(f"{place}/{stage}", stage)
        stages = frozenset(STAGES) & names
        return now, read_package(self._root / place, self._promises, stages, rejected=_REJECTED in names)

    def _fetch(self, place: str, stage: str) -> None:
        more = _FILES.get(stage, ()) if stage != "scores" or self._promises else ()
        try:
            self._store.fetch(place, "summary.json", *more)
        except (AlpError, OSError):
            return  # damaged or being replaced: the package is told of without it


def _settled(package: Package) -> bool:
    return package.rejected or bool(package.refusal) or "report" in package.stages


def all_of(packages: BucketPackages) -> Mapping[str, Package]:
    """Everything by key: what has a folder, and what waits in the inbox for one."""
    found = {package.key: package for package in packages.look()}
    for package in packages.waiting():
        if not (package.key in found and found[package.key].stages):
            found[package.key] = package
    return found
