"""A run that eats memory fails alone, with words, while others run; and it leaves no limit behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from alp_assets.errors import MemoryExceeded
from alp_assets.params import with_overrides
from alp_assets.sandbox.memory import memory_limit
from tests.packages import FAST, machine_package, receive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone limits data")

TRIAL = """
    import resource, sys, threading
    import numpy as np
    from alp_assets.errors import MemoryExceeded
    from alp_assets.parallel import ordered_map
    from alp_assets.sandbox.memory import memory_limit

    def eat(size):
        return float(np.ones(size << 17).sum())  # MiB of doubles

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(600, "models of acme__first"):
        assert eat(100)
    for threads in (1, 2):
        try:
            with memory_limit(600, "models of acme__first"):
                list(ordered_map(eat, [100, 4000], threads))
        except MemoryExceeded as error:
            print(error)
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert eat(700)
"""


def python(code, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_work_that_takes_more_than_it_may_ends_with_words_that_name_the_limit():
    hungry = python(TRIAL)
    said, errors = hungry.communicate(timeout=120)
    assert hungry.returncode == 0, errors
    lines = said.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("models of acme__first: needs more memory than the 600 MB")
        assert "run.max_memory_mb" in line


def test_of_two_runs_the_hungry_one_fails_and_the_other_goes_on(tmp_path):
    """Each in its own process, as runs are; the limit is far below what the stage needs."""
    code = """
        import sys
        from pathlib import Path
        from alp_assets.errors import AlpError
        from alp_assets.params import with_overrides
        from alp_assets.stages.catalog import run_stage
        from alp_assets.stages.package import PackageFolder
        from tests.packages import FAST
        root, name, most = sys.argv[1:]
        params = with_overrides(FAST, {"run.max_memory_mb": int(most)})
        try:
            print(run_stage("metadata", PackageFolder(Path(root), "acme", name), params).passed)
        except AlpError as error:
            print(error)
    """
    runs = []
    for name, most in (("hungry", 40), ("modest", 4_000)):
        receive(tmp_path, machine_package(tmp_path / f"{name}.zip", train=2, normal=0, anomaly=0), package=name)
        code_of_run = textwrap.dedent(code).replace("sys.argv[1:]", repr((str(tmp_path), name, str(most))))
        runs.append(python(code_of_run))
    (hungry, _), (modest, errors) = (run.communicate(timeout=120) for run in runs)
    assert "metadata of acme__hungry: needs more memory than the 40 MB that a run may take" in hungry
    assert modest.strip() == "True", errors
    assert not (tmp_path / "packages/acme/hungry/metadata").exists()


def test_without_a_limit_nothing_is_limited():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(0, "a run"):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_other_errors_stay_what_they_are():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(RuntimeError, match="of another kind"), memory_limit(50_000, "a run"):
        raise RuntimeError("of another kind")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")],
)
def test_what_libraries_raise_without_memory_becomes_one_error(error):
    with pytest.raises(MemoryExceeded), memory_limit(50_000, "a run"):
        raise error


def test_the_limit_is_a_parameter():
    assert with_overrides(FAST, {"run.max_memory_mb": 5}).run.max_memory_mb == 5
    assert FAST.run.max_memory_mb == 0
