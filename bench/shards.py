"""A very large package through the stage embeddings: peak memory against the number of clips, and clips a second.

The package has as many clips as are asked for, which share the audio of a few, so that little disk is needed;
every clip is read and encoded all the same. Each measurement is a process of its own. The last row stops one
halfway, as a kill would, and counts what the next run has still to do.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from alp_assets.params import Params, with_overrides
from alp_assets.progress import in_lines
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.clips import CLIPS_FILE
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.upload import upload
from bench.output import save, say, show
from bench.process import Outside, measured
from bench.synthetic import spec_of, write

_CUSTOMER, _PACKAGE = "bench", "large"
_SHARD = 100
"""Clips of a shard: few, so that the smallest package has several."""

_PARAMS = with_overrides(Params(), {"quality.data_docs": False, "run.shard_clips": _SHARD})


@dataclass(frozen=True)
class Row:
    """One run of the stage; memory in 10^9 bytes."""

    clips: int
    processes: int
    seconds: float
    clips_per_s: float
    peak_gb: float


def main() -> None:
    """Measure, print and write ``shards.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=[500, 5_000, 20_000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1], help="for all packages but the smallest")
    parser.add_argument("--encoder", default="alp_conv")
    parser.add_argument("--run", nargs=4, metavar=("ROOT", "ENCODER", "PROCESSES", "STOP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        _run(*arguments.run)
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as place:
        small = _small_package(Path(place) / "small")
        for clips in arguments.clips:
            enlarged = _enlarged(small, Path(place) / str(clips), clips)
            for processes in (1, 2) if clips == min(arguments.clips) else arguments.processes:
                rows.append(_measured(enlarged, arguments.encoder, processes, clips))
                say(f"{clips} clips, {processes} processes: {rows[-1].seconds:.1f} s, {rows[-1].peak_gb:.2f} GB")
        half = min(arguments.clips) // 2
        again = _enlarged(small, Path(place) / "again", min(arguments.clips))
        _command(again, arguments.encoder, 1, stop=half)
        kept = len(list((again.data_root / "cache" / "embeddings").rglob("done/*")))
    show(
        f"Stage embeddings, {arguments.encoder}",
        ("clips", "processes", "seconds", "clips a second", "peak GB"),
        [
            (
                f"{row.clips}",
                f"{row.processes}",
                f"{row.seconds:.1f}",
                f"{row.clips_per_s:.1f}",
                f"{row.peak_gb:.2f}",
            )
            for row in rows
        ],
    )
    say(f"stopped after {half} clips: {kept} shards of {_SHARD} are kept for the next run")
    save(
        "shards",
        {
            "encoder": arguments.encoder,
            "shard_clips": _SHARD,
            "rows": [asdict(row) for row in rows],
            "stopped_after": half,
            "shards_kept": kept,
        },
    )


def _run(root: str, encoder: str, processes: str, stop: str) -> None:
    folder = PackageFolder(Path(root), _CUSTOMER, _PACKAGE)
    params = with_overrides(_PARAMS, {"embeddings.encoder": encoder, "run.processes": int(processes)})
    lines = in_lines(say)

    def progress(done: int, total: int, what: str) -> None:
        lines(done, total, what)
        if 0 < int(stop) < done:
            raise SystemExit

    run_stage("embeddings", folder, params, progress)


def _command(folder: PackageFolder, encoder: str, processes: int, stop: int = 0) -> Outside:
    told = [str(folder.data_root), encoder, str(processes), str(stop)]
    return measured([sys.executable, "-m", "bench.shards", "--run", *told])


def _measured(folder: PackageFolder, encoder: str, processes: int, clips: int) -> Row:
    found = _command(folder, encoder, processes)
    shutil.rmtree(folder.stage("embeddings"))
    return Row(clips, processes, found.wall_s, clips / found.wall_s, found.peak_gb)


def _small_package(root: Path) -> PackageFolder:
    """A synthetic customer of 40 clips, worked through up to its clips."""
    write(archive := root.with_suffix(".zip"), spec_of(40, sample_rate_hz=16_000, channels=1))
    folder = PackageFolder(root, _CUSTOMER, _PACKAGE)
    upload(folder, _PARAMS, archive=archive)
    for stage in ("metadata", "quality", "clips"):
        run_stage(stage, folder, _PARAMS)
    return folder


def _enlarged(small: PackageFolder, root: Path, clips: int) -> PackageFolder:
    """A package whose manifest names the clips of a small one again and again."""
    shutil.copytree(small.data_root, root)
    folder = PackageFolder(root, _CUSTOMER, _PACKAGE)
    with folder.publish("clips") as part:
        shutil.copytree(folder.stage("clips"), part, dirs_exist_ok=True)
        table = pd.read_parquet(part / CLIPS_FILE)
        table = pd.concat([table] * -(-clips // len(table)), ignore_index=True)[:clips]
        table["clip_id"] = [f"clip-{number}" for number in range(clips)]
        table.to_parquet(part / CLIPS_FILE, index=False)
    return folder


if __name__ == "__main__":
    main()
