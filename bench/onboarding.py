"""How long `alp onboard` takes, from outside, and where the time goes.

A synthetic package (two machines, 10 s clips, 48 kHz, two channels) is onboarded by a process of its own on
a fresh data root. Seconds of the stages come from Dagster's event log of that run; what is left is the
interpreter with its imports before the run, and the orchestrator. Then the same stages run as plain functions
in this process, once to import everything, then with and without Data Docs: what the audio part and
Great Expectations cost by themselves. At last a package ten times as big, for its memory.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from alp_assets.stages.package import STAGES, PackageFolder
from bench.dagster_log import VERSIONED, RunTimes, run_times
from bench.direct import params_with, run_stages
from bench.output import save, say, show
from bench.process import Outside, measured
from bench.synthetic import PARTS, grown, spec_of, write

WALL_TARGET_S = 25.0
AUDIO_TARGET = 400.0
MEMORY_TARGET_GB = 2.0
AUDIO_PART = ("quality", "clips", "embeddings")
_CLIP_S = 10
_LARGE = 10


@dataclass(frozen=True)
class Breakdown:
    """Wall seconds of one `alp onboard`, by where they went."""

    startup_s: float
    stages_s: Mapping[str, float]
    checks_s: float
    orchestrator_s: float
    ending_s: float


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
        with_docs, without_docs = direct(archive, Path(scratch) / "direct")
        figures = {
            "clips": chosen.clips,
            "package_mb": round(megabytes, 1),
            "outside": asdict(outside),
            "breakdown": asdict(breakdown),
            "direct_s": {"data_docs": dict(with_docs), "no_data_docs": dict(without_docs)},
            "data_docs_s": with_docs["quality"] - without_docs["quality"],
            "audio_times_real_time": _times_real_time(without_docs, chosen.clips),
            "audio_times_real_time_in_run": _times_real_time(times.stages, chosen.clips),
            "targets": {"wall_s": WALL_TARGET_S, "audio": AUDIO_TARGET, "peak_gb": MEMORY_TARGET_GB},
        }
        _print(figures, outside, breakdown, with_docs, without_docs)
        if not chosen.skip_large:
            archive.unlink()
            write(archive, grown(spec, _LARGE * chosen.clips))
            large, large_times = onboard(archive, Path(scratch) / "large")
            figures["large"] = {
                "clips": _LARGE * chosen.clips,
                "outside": asdict(large),
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


def direct(archive: Path, data_root: Path) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Seconds by stage with and without Data Docs, in this process and with everything imported."""
    found = []
    for name, data_docs in (("warm", True), ("docs", True), ("none", False)):
        params = params_with({"quality.data_docs": data_docs, "versioned.enabled": False})
        found.append(run_stages(PackageFolder(data_root, "bench", name), archive, params))
        shutil.rmtree(data_root)
    return found[1], found[2]


def _breakdown(outside: Outside, times: RunTimes) -> Breakdown:
    return Breakdown(
        startup_s=times.began - outside.began,
        stages_s=times.stages,
        checks_s=times.checks,
        orchestrator_s=times.between,
        ending_s=outside.began + outside.wall_s - times.ended,
    )


def _times_real_time(seconds: Mapping[str, float], clips: int) -> float:
    return clips * _CLIP_S / sum(seconds[name] for name in AUDIO_PART)


def _print(
    figures: Mapping[str, object],
    outside: Outside,
    breakdown: Breakdown,
    with_docs: Mapping[str, float],
    without_docs: Mapping[str, float],
) -> None:
    rows = [["start and imports", _s(breakdown.startup_s), "", ""]]
    rows += [[name, _s(breakdown.stages_s[name]), _s(with_docs[name]), _s(without_docs[name])] for name in STAGES]
    rows += [
        [VERSIONED, _s(breakdown.stages_s[VERSIONED]), "", ""],
        ["checks", _s(breakdown.checks_s), "", ""],
        ["orchestrator, between steps", _s(breakdown.orchestrator_s), "", ""],
        ["result and exit", _s(breakdown.ending_s), "", ""],
        ["together", _s(outside.wall_s), _s(sum(with_docs.values())), _s(sum(without_docs.values()))],
    ]
    title = f"Onboarding {figures['clips']} clips of 10 s, 48 kHz stereo ({figures['package_mb']} MB), in seconds"
    show(title, ("", "alp onboard", "functions, warm", "without Data Docs"), rows)
    say(
        f"wall time      {outside.wall_s:.1f} s (target: {WALL_TARGET_S:g} s or less); "
        f"processor {outside.processor_s:.1f} s; peak memory {outside.peak_gb:.2f} GB"
    )
    say(
        f"audio part     {figures['audio_times_real_time']:.0f} times real time "
        f"(target: {AUDIO_TARGET:g} or more); {figures['audio_times_real_time_in_run']:.0f} in the run, "
        "with imports and Data Docs"
    )
    say(
        f"Data Docs      {figures['data_docs_s']:.1f} s of the stage quality, without importing Great Expectations"
    )


def _s(seconds: float) -> str:
    return f"{seconds:.2f}"


if __name__ == "__main__":
    main()
