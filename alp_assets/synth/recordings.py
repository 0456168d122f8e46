"""The recordings of a synthetic customer, each made by itself.

Every recording has a random stream of its own, derived from the seed, its section and its index. Raising a count
adds recordings and leaves the others as they were.
"""

from __future__ import annotations

import io
import json
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alp_assets.synth.anomalies import ANOMALIES, add_anomaly
from alp_assets.synth.machines import LOADS, SPEEDS, Machine, build_machine
from alp_assets.synth.shapes import Signal, gain_of
from alp_assets.synth.spec import SynthSpec
from alp_assets.synth.surroundings import DOMAINS, at_snr, background, listen

Samples = NDArray[np.int16]

_PEAK = 0.95
_NOISE_ONLY_DBFS = (-40.0, -32.0)
_EVERY = timedelta(minutes=30)
_SILENT_DBFS = -85.0
_SILENCE_FRAME_S = 0.05


@dataclass(frozen=True)
class Section:
    """One physical machine at its place; ``noises`` are the kinds heard there, by domain."""

    machine: Machine
    number: int
    noises: dict[str, tuple[str, ...]]

    @property
    def machine_type(self) -> str:
        """What kind of machine it is."""
        return self.machine.machine_type

    @property
    def name(self) -> str:
        """Its id in tables and names."""
        return f"{self.number:02d}"


@dataclass(frozen=True)
class Group:
    """The recordings of a section that serve one purpose, every half hour from ``first`` on.

    ``key`` keeps their random streams apart; ``what`` is the label, of a supplement its type.
    """

    key: int
    split: str
    domain: str
    what: str
    count: int
    first: datetime


@dataclass(frozen=True)
class Task:
    """A recording that is to be made."""

    section: Section
    group: Group
    index: int


@dataclass(frozen=True)
class Scene:
    """What is heard in one recording.

    ``machine`` and ``surroundings`` are the two layers at each microphone, a list of (n,) for each; either may be
    empty. ``conditions`` are cells of the table.
    """

    machine: list[Signal]
    surroundings: list[Signal]
    conditions: dict[str, str]

    @property
    def channels(self) -> list[Signal]:
        """What each microphone hears."""
        if self.machine and self.surroundings:
            return [one + other for one, other in zip(self.machine, self.surroundings, strict=True)]
        return self.machine or self.surroundings


@dataclass(frozen=True)
class Recording:
    """A finished recording: its WAV, the cells of its row, and what is measured of its first channel."""

    task: Task
    wav: bytes
    row: dict[str, str]
    measures: dict[str, str]


def tasks(spec: SynthSpec) -> Iterator[Task]:
    """Every recording of the customer, section by section."""
    for machine_type in spec.machines:
        for number in range(spec.sections_per_machine):
            section = build_section(spec, machine_type, number)
            for group in _groups(spec):
                for index in range(group.count):
                    yield Task(section, group, index)


def record(spec: SynthSpec, task: Task) -> Recording:
    """Make one recording and its row."""
    group = task.group
    scene = scene_of(spec, task)
    samples = _samples(scene.channels)
    supplemental = group.split == "supplemental"
    row = {
        "machine_type": task.section.machine_type,
        "section_id": task.section.name,
        "recorded_at": (group.first + task.index * _EVERY).isoformat(),
        "operator_confirmed": "true" if group.split == "train" else "",
        "split": group.split,
        "domain": group.domain,
        "label": _SUPPLEMENT_LABELS[group.what] if supplemental else group.what,
        "supp_type": group.what if supplemental else "",
        "modality": "sound",
        "sample_rate_hz": str(spec.sample_rate_hz),
    }
    return Recording(
        task=task,
        wav=_wav(samples, spec.sample_rate_hz),
        row=row | scene.conditions,
        measures=_measures(samples[:, 0], spec.sample_rate_hz),
    )


def scene_of(spec: SynthSpec, task: Task) -> Scene:
    """What is heard in a recording: the machine, its surroundings, or both."""
    section, group = task.section, task.group
    rng = _rng(spec, section.machine_type, section.number, group.key, task.index)
    if group.what == "noise":
        return _surroundings_alone(spec, task, rng)
    return _machine_running(spec, task, rng)


def build_section(spec: SynthSpec, machine_type: str, number: int) -> Section:
    """Draw a section: its machine and the noises around it."""
    rng = _rng(spec, machine_type, number, 0, 0)
    noises = {
        name: tuple(rng.choice(domain.noises, 2, replace=False).tolist()) for name, domain in DOMAINS.items()
    }
    return Section(build_machine(machine_type, rng), number, noises)


_SUPPLEMENT_LABELS = {"noise": "unknown", "machine": "normal"}


def _groups(spec: SynthSpec) -> tuple[Group, ...]:
    noise, clean = spec.noise_only, spec.clean_machine
    return (
        Group(1, "train", "source", "normal", spec.source_normals, datetime(2024, 3, 4, 9)),
        Group(2, "train", "target", "normal", spec.target_normals, datetime(2025, 6, 2, 9)),
        Group(3, "test", "source", "normal", spec.test_normals, datetime(2025, 6, 9, 9)),
        Group(4, "test", "target", "normal", spec.test_normals, datetime(2025, 7, 7, 9)),
        Group(5, "test", "source", "anomaly", spec.test_anomalies, datetime(2025, 8, 4, 9)),
        Group(6, "test", "target", "anomaly", spec.test_anomalies, datetime(2025, 9, 1, 9)),
        Group(7, "supplemental", "source", "noise", noise - noise // 2, datetime(2025, 5, 5, 9)),
        Group(8, "supplemental", "target", "noise", noise // 2, datetime(2025, 5, 12, 9)),
        Group(9, "supplemental", "source", "machine", clean - clean // 2, datetime(2025, 5, 19, 9)),
        Group(10, "supplemental", "target", "machine", clean // 2, datetime(2025, 5, 26, 9)),
    )


def _rng(spec: SynthSpec, machine_type: str, section: int, group: int, index: int) -> np.random.Generator:
    """A stream that depends on nothing else: not on the other machines, the counts or the workers."""
    key = (zlib.crc32(machine_type.encode()), section, group, index)
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=key))


def _machine_running(spec: SynthSpec, task: Task, rng: np.random.Generator) -> Scene:
    """The machine, healthy or not, as each channel hears it; a clean recording has nothing around it."""
    section, domain = task.section, DOMAINS[task.group.domain]
    speed, load = str(rng.choice(domain.speeds)), str(rng.choice(domain.loads))
    noise_id = str(rng.choice(section.noises[task.group.domain]))
    snr_db = round(rng.uniform(*domain.snr_db), 1)
    positions = _positions(spec, task, rng)
    healthy = section.machine.sound(rng, spec.samples, spec.sample_rate_hz, SPEEDS[speed], LOADS[load])
    emitted, fault = healthy, {}
    if task.group.what == "anomaly":
        kind = tuple(ANOMALIES)[task.index % len(ANOMALIES)]
        emitted, regions = add_anomaly(kind, healthy, spec.sample_rate_hz, rng)
        fault = {"anomaly_type": kind, "anomaly_regions": json.dumps(regions)}
    conditions = {
        "mic_position_id": positions[0],
        "channels": ",".join(positions),
        "speed_level": speed,
        "load_level": load,
        "operating_condition": _condition(section.machine, SPEEDS[speed], LOADS[load]),
    }
    references = [listen(healthy, position, spec.sample_rate_hz) for position in positions]
    heard = references
    if fault:
        heard = [listen(emitted, position, spec.sample_rate_hz) for position in positions]
    if task.group.what == "machine":
        return Scene(heard, [], conditions)
    around = [
        at_snr(background(noise_id, rng, spec.samples, spec.sample_rate_hz), reference, snr_db)
        for reference in references
    ]
    return Scene(heard, around, conditions | {"noise_id": noise_id, "snr_db": f"{snr_db:.1f}"} | fault)


def _surroundings_alone(spec: SynthSpec, task: Task, rng: np.random.Generator) -> Scene:
    """The surroundings with the machine off."""
    noises = task.section.noises[task.group.domain]
    noise_id = noises[task.index % len(noises)]
    level = gain_of(rng.uniform(*_NOISE_ONLY_DBFS))
    around = [level * background(noise_id, rng, spec.samples, spec.sample_rate_hz) for _ in range(spec.channels)]
    positions = _positions(spec, task, rng)
    conditions = {
        "mic_position_id": positions[0],
        "channels": ",".join(positions),
        "noise_id": noise_id,
        "operating_condition": json.dumps({"running": False}),
    }
    return Scene([], around, conditions)


def _positions(spec: SynthSpec, task: Task, rng: np.random.Generator) -> list[str]:
    """Where the microphone of each channel is; further channels take the domain's places in turn."""
    places = DOMAINS[task.group.domain].microphones
    first = int(rng.integers(len(places)))
    return [places[(first + channel) % len(places)] for channel in range(spec.channels)]


def _condition(machine: Machine, speed: float, load: float) -> str:
    """What a plant's control room would note: cycles a minute and the load."""
    condition: dict[str, Any] = {
        "running": True,
        machine.recipe.cycle: round(60.0 * machine.cycle_at(speed, load), 1),
        "load_percent": round(100.0 * load),
    }
    return json.dumps(condition)


def _samples(channels: list[Signal]) -> Samples:
    """PCM16 (n, channels); a recording that would clip is turned down as a whole."""
    peak = max(float(max(channel.max(), -channel.min())) for channel in channels)
    scale = np.float32(32767.0 * min(1.0, _PEAK / peak))
    samples = np.empty((len(channels[0]), len(channels)), dtype="<i2")
    for place, channel in enumerate(channels):
        samples[:, place] = np.rint(channel * scale)
    return samples


def _wav(samples: Samples, sample_rate_hz: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as writer:
        writer.setnchannels(samples.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(sample_rate_hz)
        writer.writeframes(samples.tobytes())
    return stream.getvalue()


def _measures(samples: Samples, sample_rate_hz: int) -> dict[str, str]:
    """Level, peak, clipping and silence of a channel (n,), as the quality stage measures them."""
    x = samples * np.float32(2.0**-15)
    size = round(_SILENCE_FRAME_S * sample_rate_hz)
    frames = x[: len(x) // size * size].reshape(-1, size)
    energy = np.einsum("ij,ij->i", frames, frames).astype(np.float64)
    rest = x[frames.size :]
    whole = (float(energy.sum()) + float(np.sum(rest * rest))) / len(x)
    peak = max(int(samples.max()), -int(samples.min()))
    clipped = int(np.count_nonzero(np.abs(samples) >= 32767)) if peak >= 32767 else 0
    return {
        "rms_dbfs": f"{10.0 * np.log10(max(whole, 1e-20)):.2f}",
        "peak_dbfs": f"{20.0 * np.log10(max(peak / 2**15, 1e-10)):.2f}",
        "clipping_ratio": f"{clipped / len(x):.6f}",
        "silence_ratio": f"{np.mean(energy < size * 10.0 ** (_SILENT_DBFS / 10.0)):.4f}",
    }
