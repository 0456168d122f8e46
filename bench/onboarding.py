"""How long `alp onboard` takes, from outside, and where the time goes.

A synthetic package (two machines, 10 s clips, 48 kHz, two channels) is onboarded by a process of its own on
a fresh data root. Seconds of the stages come from Dagster's event log of that run; what is left is the
interpreter with its imports before the run, and the orchestrator. Then the same stages run as plain functions
in this process, once to import everything, then with and without Data Docs: what the audio part and
Great Expectations cost by themselves. The audio part is the best of three runs, and its processor seconds
stand beside it, because they depend least on what else the machine does. At last a package ten times as big,
for its memory.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alp_assets.stages.package import STAGES, PackageFolder
from bench.dagster_log import VERSIONED, RunTimes, run_times
from bench.direct import Took, params_with, run_stages
from bench.output import save, say, show
from bench.process import Outside, measured
from bench.synthetic import PARTS, grown, spec_of, write

WALL_TARGET_S = 25.0
AUDIO_TARGET = 400.0
MEMORY_TARGET_GB = 2.0
AUDIO_PART = ("quality", "clips", "embeddings")
_CLIP_S = 10
_LARGE = 10
_TRIES = 3


@dataclass(frozen=True)
class Breakdown:
    """Wall seconds of one `alp onboard`, by where they went."""

    startup_s: float
    stages_s: Mapping[str, float]
    checks_s: float
    orchestrator_s: float
    ending_s: float


@dataclass(frozen=True)
class Direct:
    """The stages as plain functions, warm: with Data Docs, and the best of some runs without."""

    with_docs: Mapping[str, Took]
    without: Mapping[str, Took]

    @property
    def data_docs_s(self) -> float:
        """Wall seconds that Data Docs add to the stage quality."""
        return self.with_docs["quality"].wall_s - self.without["quality"].wall_s


def main() -> None:
    """Measure, print and write ``onboarding.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.onboarding", description=__doc__)
    parser.add_argument("--clips", type=int, default=200, help=f"recordings, a multiple of {PARTS}")
    parser.add_argument("--skip-large", action="store_true", help="leave out the package ten times as big")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        archive = Path(scratch) / "package.zip"
        spec = spec_of(chosen.clips)
        write(archive, spec)
        megabytes = archive.stat().st_size / 1e6
        outside, times = onboard(archive, Path(scratch) / "onboarded")
        breakdown = _breakdown(outside, times)
        functions = direct(archive, Path(scratch) / "direct")
        seconds_of_audio = chosen.clips * _CLIP_S
        figures = {
            "clips": chosen.clips,
            "package_mb": round(megabytes, 1),
            "outside": _figures(outside),
            "breakdown": asdict(breakdown),
            "direct": {
                "data_docs": _as_json(functions.with_docs),
                "no_data_docs": _as_json(functions.without),
            },
            "data_docs_s": functions.data_docs_s,
            "audio_times_real_time": seconds_of_audio / _audio_s(functions.without),
            "audio_processor_s": sum(functions.without[name].processor_s for name in AUDIO_PART),
            "audio_times_real_time_in_run": seconds_of_audio / sum(times.stages[name] for name in AUDIO_PART),
            "targets": {"wall_s": WALL_TARGET_S, "audio": AUDIO_TARGET, "peak_gb": MEMORY_TARGET_GB},
        }
        _print(figures, outside, breakdown, functions)
        if not chosen.skip_large:
            archive.unlink()
            write(archive, grown(spec, _LARGE * chosen.clips))
            large, large_times = onboard(archive, Path(scratch) / "large")
            figures["large"] = {
                "clips": _LARGE * chosen.clips,
                "outside": _figures(large),
                "breakdown": asdict(_breakdown(large, large_times)),
            }
            say(
                f"{_LARGE * chosen.clips:,} clips: peak memory {large.peak_gb:.2f} GB "
                f"(target: below {MEMORY_TARGET_GB:g} GB), {large.wall_s:.0f} s"
            )
        save("onboarding", figures)


def onboard(archive: Path, data_root: Path) -> tuple[Outside, RunTimes]:
    """Run `alp onboard` on a fresh data root, which is removed again."""
    command = [sys.executable, "-m", "alp_assets", "onboard", str(archive), "--customer", "bench"]
    try:
        outside = measured([*command, "--data", str(data_root)])
        return outside, run_times(data_root / "dagster")
    finally:
        shutil.rmtree(data_root, ignore_errors=True)


def direct(archive: Path, data_root: Path) -> Direct:
    """The stages in this process, once with Data Docs and three times without, after everything is imported."""
    found = []
    for data_docs in (True, True, *(False,) * _TRIES):
        params = params_with({"quality.data_docs": data_docs, "versioned.enabled": False})
        found.append(run_stages(PackageFolder(data_root, "bench", "direct"), archive, params))
        shutil.rmtree(data_root)
    return Direct(found[1], min(found[2:], key=_audio_s))


def _figures(outside: Outside) -> dict[str, float]:
    return {"wall_s": outside.wall_s, "processor_s": outside.processor_s, "peak_gb": outside.peak_gb}


def _breakdown(outside: Outside, times: RunTimes) -> Breakdown:
    return Breakdown(
        startup_s=times.began - outside.began,
        stages_s=times.stages,
        checks_s=times.checks,
        orchestrator_s=times.between,
        ending_s=outside.began + outside.wall_s - times.ended,
    )


def _audio_s(took: Mapping[str, Took]) -> float:
    return sum(took[name].wall_s for name in AUDIO_PART)


def _as_json(took: Mapping[str, Took]) -> dict[str, dict[str, float]]:
    return {name: asdict(item) for name, item in took.items()}


def _print(figures: Mapping[str, Any], outside: Outside, breakdown: Breakdown, functions: Direct) -> None:
    columns = ("", "alp onboard", "functions, warm", "without Data Docs", "its processor")
    rows = [["start and imports", _s(breakdown.startup_s), "", "", ""]]
    for name in STAGES:
        docs, plain = functions.with_docs[name], functions.without[name]
        rows.append([name, *map(_s, (breakdown.stages_s[name], docs.wall_s, plain.wall_s, plain.processor_s))])
    for name, seconds in (
        (VERSIONED, breakdown.stages_s[VERSIONED]),
        ("checks", breakdown.checks_s),
        ("orchestrator, between steps", breakdown.orchestrator_s),
        ("result and exit", breakdown.ending_s),
    ):
        rows.append([name, _s(seconds), "", "", ""])
    sums = (
        outside.wall_s,
        sum(item.wall_s for item in functions.with_docs.values()),
        sum(item.wall_s for item in functions.without.values()),
        sum(item.processor_s for item in functions.without.values()),
    )
    rows.append(["together", *map(_s, sums)])
    title = f"Onboarding {figures['clips']} clips of 10 s, 48 kHz stereo ({figures['package_mb']} MB), in seconds"
    show(title, columns, rows)
    say(
        f"wall time      {outside.wall_s:.1f} s (target: {WALL_TARGET_S:g} s or less); "
        f"processor {outside.processor_s:.1f} s; peak memory {outside.peak_gb:.2f} GB"
    )
    say(
        f"audio part     {figures['audio_times_real_time']:.0f} times real time "
        f"(target: {AUDIO_TARGET:g} or more); {figures['audio_times_real_time_in_run']:.0f} in the run, "
        "with imports and Data Docs"
    )
    say(f"Data Docs      {figures['data_docs_s']:.1f} s of the stage quality, Great Expectations being imported")


def _s(seconds: float) -> str:
    return f"{seconds:.2f}"


if __name__ == "__main__":
    main()
