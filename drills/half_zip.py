"""Half a zip lies in the inbox: its copy is slow, or has ended for good."""

from __future__ import annotations

import os
import time

from alp_assets.files import sha256_of
from alp_assets.params import load_params
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import REJECTED, PackageFolder
from alp_assets.stages.rejection import LETTER_FILE, reject
from alp_assets.stages.upload import ARCHIVE_FILE, upload
from drills.aftermath import check
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, expect
from sensors.inbox import INCOMPLETE_S, Seen, scan_inbox

_OLD_S = 60.0


def slow_copy(ground: Ground) -> str:
    """A copy that stands still half-way is waited for, and taken when it is whole."""
    folder = PackageFolder(ground.new_root(), CUSTOMER, PACKAGE)
    data = ground.archive.read_bytes()
    seen = _looked_at(folder, data[: len(data) // 2])
    _put(folder, data)
    scan = scan_inbox(folder.data_root, seen, most=5)
    expect([arrival.sha256 for arrival in scan.arrivals] == [ground.sent], "the whole zip was not taken")
    check(ground, folder)
    return "waited for while half was there, taken as soon as it was whole"


def broken_copy(ground: Ground) -> str:
    """A copy that never ends is refused by letter, its bytes kept; the whole zip goes under another name."""
    folder = PackageFolder(ground.new_root(), CUSTOMER, "half")
    half = ground.archive.read_bytes()[: ground.archive.stat().st_size // 2]
    seen = _looked_at(folder, half)
    scan = scan_inbox(folder.data_root, seen, most=5, now=time.time() + INCOMPLETE_S)
    expect(len(scan.arrivals) == 1, "half a zip was never given up")
    params = load_params(folder.data_root)
    upload(folder, params)
    expect(not run_stage("metadata", folder, params).passed, "half a zip passed the gates")
    reasons = reject(folder)
    kept = folder.path / "upload" / ARCHIVE_FILE
    expect(sha256_of(kept) == scan.arrivals[0].sha256 and kept.read_bytes() == half, "its bytes were not kept")
    expect((folder.path / REJECTED / LETTER_FILE).is_file(), "there is no letter")
    check(ground, PackageFolder(folder.data_root, CUSTOMER, PACKAGE))
    return f"refused by letter: {'; '.join(reasons)}"


def _looked_at(folder: PackageFolder, half: bytes) -> dict[str, Seen]:
    """Put half a zip into the inbox and look twice: it must be waited for."""
    seen: dict[str, Seen] = {}
    _put(folder, half)
    for _ in range(2):
        scan = scan_inbox(folder.data_root, seen, most=5)
        expect(not scan.arrivals and scan.waiting, "half a zip was taken for a whole one")
        seen = dict(scan.seen)
    return seen


def _put(folder: PackageFolder, data: bytes) -> None:
    folder.inbox.parent.mkdir(parents=True, exist_ok=True)
    folder.inbox.write_bytes(data)
    stamp = time.time() - _OLD_S
    os.utime(folder.inbox, (stamp, stamp))


DRILLS = (
    Drill("half-zip-slow", "half a zip in the inbox, whole a little later", slow_copy),
    Drill("half-zip-broken", "half a zip in the inbox that never becomes whole", broken_copy),
)
