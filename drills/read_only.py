"""The data root cannot be written to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alp_assets.params import PROJECT
from alp_assets.stages.package import PackageFolder
from drills.aftermath import check
from drills.children import PATIENCE_S, environment_without_dagster, stages_of
from drills.disk_full import mount
from drills.ground import CUSTOMER, PACKAGE, Ground
from drills.verdict import Drill, expect
from tests.packages import tree

_WORDS = ("read-only", "cannot be written")


def read_only(ground: Ground) -> str:
    """A read-only mount: the command and a stage refuse in words, nothing changes, and all goes on afterwards."""
    folder = ground.before("scores")
    before = tree(folder.data_root)
    with read_only_view(folder.data_root, ground.folder / "view") as view:
        end = stages_of(PackageFolder(view, CUSTOMER, PACKAGE), None, "scores").end()
        command = [
            sys.executable,
            "-m",
            "alp_assets",
            "onboard",
            str(ground.archive),
            "-c",
            CUSTOMER,
            "-p",
            "second",
        ]
        done = subprocess.run(
            [*command, "--data", str(view)],
            cwd=PROJECT,
            env=environment_without_dagster(),
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    said = " ".join(done.stderr.split())
    expect(not end.signal and _says_so(end.text), f"the stage does not say that the data root is read-only: {end}")
    expect(
        done.returncode and _says_so(said), f"`alp onboard` does not say that the data root is read-only: {said}"
    )
    expect(tree(folder.data_root) == before, "something was written all the same")
    check(ground, folder)
    return f"stage: {end}; command: {said}"


@contextmanager
def read_only_view(root: Path, view: Path) -> Iterator[Path]:
    """The same folder, mounted once more so that nobody can write through it; root ignores modes of files."""
    view.mkdir()
    mount(["--bind", str(root), str(view)])
    try:
        mount(["-o", "remount,bind,ro", str(view)])
        yield view
    finally:
        subprocess.run(["umount", "--lazy", str(view)], check=True)
        view.rmdir()


def _says_so(text: str) -> bool:
    return any(word in text.lower() for word in _WORDS)


DRILLS = (Drill("read-only", "a data root that is mounted read-only", read_only),)
