"""Synthetic packages of a given size, written by a process of their own.

A child process is reported to have needed at least what its parent held when it started it, so a bench that
measures memory must not have synthesized anything itself. Run as ``python -m bench.synthetic``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from alp_assets.synth.customer import SynthSpec, spec_from, synthesize

PARTS = 20
"""Two sections of ten parts: four source and one target normal, four test clips by domain and label, one noise."""


def spec_of(
    clips: int, *, sample_rate_hz: int = 48_000, channels: int = 2, duration_s: float = 10.0, seed: int = 0
) -> SynthSpec:
    """A fan and a pump with ``clips`` recordings together, which must be a multiple of 20."""
    part, rest = divmod(clips, PARTS)
    if rest or part < 1:
        raise ValueError(f"{clips} clips cannot be shared out; ask for a multiple of {PARTS}")
    return SynthSpec(
        source_normals=4 * part,
        target_normals=part,
        test_normals=part,
        test_anomalies=part,
        noise_only=part,
        seed=seed,
        duration_s=duration_s,
        sample_rate_hz=sample_rate_hz,
        channels=channels,
    )


def grown(spec: SynthSpec, clips: int) -> SynthSpec:
    """The same customer with ``clips`` recordings: what is added are source normals to learn from."""
    more, rest = divmod(clips - spec.recordings, len(spec.machines) * spec.sections_per_machine)
    if rest or more < 0:
        raise ValueError(f"{spec.recordings} clips cannot become {clips} by as many more in each section")
    return replace(spec, source_normals=spec.source_normals + more)


def write(target: Path, spec: SynthSpec) -> None:
    """Write the zip of a spec in another process."""
    command = [sys.executable, "-m", "bench.synthetic", str(target), json.dumps(asdict(spec))]
    subprocess.run(command, check=True)


def main() -> None:
    """Write one zip: arguments are the file and the spec as JSON."""
    target, spec = sys.argv[1:]
    synthesize(Path(target), spec_from(json.loads(spec)))


if __name__ == "__main__":
    main()
