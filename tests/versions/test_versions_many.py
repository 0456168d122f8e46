"""Many packages finished at once by several processes: every one is versioned."""

import subprocess
import sys

import pytest

from alp_assets.files import write_json
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.queue import Queue
from alp_assets.versions.repository import repository_of

WORKER = """
import sys
from pathlib import Path
from alp_assets.params import Params
from alp_assets.stages.package import PackageFolder
from alp_assets.versions.snapshot import snapshot
root, names = Path(sys.argv[1]), sys.argv[2:]
for name in names:
    taken = snapshot(PackageFolder(root, "acme", name), Params())
    assert taken.content_hash and taken.revision, name
"""


def finish_at_once(root, packages: int, processes: int) -> None:
    names = [f"p{number}" for number in range(packages)]
    for name in names:
        folder = PackageFolder(root, "acme", name)
        write_json(folder.path / "upload" / "receipt.json", {"sha256": name})
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(root), *names[start::processes]])
        for start in range(processes)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0] * processes
    git = repository_of(root).git
    versioned = git("ls-tree", "-r", "--name-only", "HEAD", "packages").split()
    assert sorted(versioned) == sorted(f"packages/acme/{name}.dvc" for name in names)
    said = git("log", "--format=%s").splitlines()
    assert all(any(line.startswith(f"acme/{name}: ") for line in said) for name in names)
    assert git("status", "--porcelain") == ""
    assert not Queue(root).waiting()
    assert not list(Queue(root).place.glob("answers/*"))


def test_packages_finished_at_once_are_all_versioned(root):
    finish_at_once(root, packages=8, processes=2)


@pytest.mark.slow
def test_200_packages_finished_at_once_by_4_processes_are_all_versioned(root):
    finish_at_once(root, packages=200, processes=4)
