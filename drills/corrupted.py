"""Bytes on disk change by themselves: in a stage's folder, in a model, in the registry."""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.params import PROJECT, load_params
from alp_assets.registry.registry import Registry
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.scores import SCORES_FILE, read_metrics
from alp_assets.store.manifest import MANIFEST_FILE
from drills.aftermath import check, check_recovered
from drills.children import stages_of
from drills.ground import CUSTOMER, Ground
from drills.verdict import Drill, DrillFailed, expect

_THRESHOLD = 0.123456


def stage_folders(ground: Ground) -> str:
    """A flipped bit in the largest file of each stage: named by the run that reads it, mended by a run of all.

    The last stage comes first, so that each run meets one damage.
    """
    job = ground.job
    folder = ground.before("end", job.fresh())
    said = ""
    for number, stage in reversed(list(enumerate(STAGES))):
        path = _largest(folder.path / stage)
        flip(path)
        _named(_refusal(partial(folder.prove, stage)), stage, path)
        for reader in STAGES[number + 1 : number + 2]:
            said = job.refused(job.ask(folder, reader))
            _named(said, stage, path)
    job.well(job.ask(folder))
    check_recovered(ground, folder)
    return f"each of {len(STAGES)} named, all mended by one more run, such as: {said}"


def model(ground: Ground) -> str:
    """A flipped bit in the champion: it judges no other package until the stage models made it anew."""
    folder = ground.before("end")
    params = load_params(folder.data_root)
    later = PackageFolder(folder.data_root, CUSTOMER, "later")
    judged = later.path / "scores" / SCORES_FILE
    end = stages_of(later, ground.new_archive("later", seed=2, train=0)).end()
    expect(end.well, f"a package of test clips alone ended with {end}")
    wanted = judged.read_bytes()
    champion = Registry(folder.data_root).champion(package_sections(folder)[0])
    assert champion is not None
    flip(champion.folder / "model.safetensors")
    end = stages_of(later, None, "scores").end()
    said = str(read_metrics(later))
    expect(
        str(champion.folder) in said and "Run the models stage" in said, f"the model is not named: {end}, {said}"
    )
    expect(judged.read_bytes() != wanted, "a damaged model has judged")
    run_stage("models", folder, params)
    run_stage("scores", later, params)
    expect(judged.read_bytes() == wanted, "the model made anew judges otherwise")
    check(ground, folder)
    return "the section was left unscored, the model named; made anew, it gave the same scores"


def registry(ground: Ground, harm: Callable[[Path], None]) -> str:
    """A database that is none any more: named with what to do; moved away, it is built anew by the stages."""
    folder = ground.before("scores")
    place = folder.data_root / "registry.db"
    harm(place)
    end = stages_of(folder, None, "scores").end()
    expect(not end.well and str(place) in end.text, f"scores did not name the damaged registry: {end}")
    expect(end.kind == "RegistryRefused" and "move it" in end.text, f"it does not say what to do: {end}")
    expect(not (folder.path / "scores").exists(), "scores were made without a registry")
    for path in folder.data_root.glob("registry.db*"):
        path.rename(path.with_name(f"damaged-{path.name}"))
    check(ground, folder)
    return str(end)


def registry_value(ground: Ground) -> str:
    """A threshold of which one bit is another: nothing is scored by it; once set anew, all goes on."""
    folder = ground.before("scores")
    place, backup = folder.data_root / "registry.db", folder.data_root / "backup.db"
    with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    found = Registry(folder.data_root)
    version = found.versions(package_sections(folder)[0])[0].version
    found.save_threshold(version, _THRESHOLD, "", "drill")
    _flip_value(place, _THRESHOLD)
    end = stages_of(folder, None, "scores").end()
    expect(end.kind == "RegistryRefused" and version in end.text, f"scores did not name the threshold: {end}")
    expect(not (folder.path / "scores").exists(), "something was scored by a damaged threshold")
    command = f"alp models threshold {version}"
    expect(command in end.text, f"it does not say what to do: {end}")
    words = [*command.split()[1:], str(_THRESHOLD), "--data", str(folder.data_root)]
    subprocess.run([sys.executable, "-m", "alp_assets", *words], cwd=PROJECT, check=True, capture_output=True)
    again = stages_of(folder, None, "scores").end()
    expect(again.well, f"with a threshold that was set anew, scores ended with {again}")
    for path in folder.data_root.glob("registry.db*"):
        path.unlink()
    backup.rename(place)
    check(ground, folder)
    return str(end)


def overwritten(place: Path) -> None:
    """The first pages hold something else."""
    with place.open("r+b") as stream:
        stream.write(os.urandom(8192))


def page_lost(place: Path) -> None:
    """Every page but the first holds nothing."""
    size = place.stat().st_size
    with place.open("r+b") as stream:
        stream.seek(4096)
        stream.write(bytes(size - 4096))


def cut(place: Path) -> None:
    """Its second half is gone."""
    os.truncate(place, place.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _flip_value(place: Path, value: float) -> None:
    """Change one bit of a number that a database holds once."""
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(place.read_bytes())
    wanted = struct.pack(">d", value)
    expect(data.count(wanted) == 1, f"{value} is not once in the registry")
    data[data.index(wanted)] ^= 1
    place.write_bytes(data)


def _largest(folder: Path) -> Path:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE]
    return max(files, key=lambda path: (path.stat().st_size, path.name))


def _refusal(work: Callable[[], object]) -> str:
    try:
        work()
    except AlpError as error:
        return str(error)
    raise DrillFailed("a changed file was not noticed")


def _named(said: str, stage: str, path: Path) -> None:
    expect(path.name in said and f"Run the stage {stage}" in said, f"{stage}: {path.name} is not named: {said}")


DRILLS = (
    Drill("corrupted-stage", "a flipped bit in each stage's folder in turn, read by a Dagster run", stage_folders),
    Drill("corrupted-model", "a flipped bit in the model that scores", model),
    *(
        Drill(f"corrupted-registry-{name}", f"a registry {words}", partial(registry, harm=harm))
        for name, words, harm in (
            ("overwritten", "whose first pages hold something else", overwritten),
            ("page", "whose later pages are empty", page_lost),
            ("cut", "of which half is gone", cut),
        )
    ),
    Drill("corrupted-registry-value", "a registry with a flipped bit in a threshold that was set", registry_value),
)
