"""The synthetic customer: a zip of machine recordings and their table, from a few numbers.

The same ``SynthSpec`` gives the same bytes, however many threads make it: every recording has a
random stream of its own, derived from the seed, its section and its index. Raising a count adds
recordings and leaves the others as they were.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import os
import tempfile
import wave
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alp_assets.errors import ParameterError
from alp_assets.files import sha256_of
from alp_assets.progress import Progress, silent
from alp_assets.synth.anomalies import ANOMALIES, add_anomaly
from alp_assets.synth.machines import LOADS, SPEEDS, Machine, build_machine, recipe_of
from alp_assets.synth.shapes import Signal, gain_of
from alp_assets.synth.surroundings import DOMAINS, background, listen, mix

TABLE_COLUMNS = (
    "relative_path", "clip_id", "machine_type", "section_id", "recorded_at", "operator_confirmed", "split",
    "domain", "label", "mic_position_id", "noise_id", "speed_level", "load_level", "snr_db", "supp_type",
    "anomaly_type", "anomaly_regions",
)  # fmt: skip
"""Columns of the table in the zip, in order; all of them are in the contract."""

_MOST_SAMPLES = 20_000_000
_PEAK = 0.95
_NOISE_ONLY_DBFS = (-40.0, -32.0)
_FIRST_DAY = {"source": datetime(2025, 3, 3, 9, 0), "target": datetime(2025, 9, 1, 9, 0)}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class SynthSpec:
    """What the customer sends. Counts of recordings are per section.

    Args:
        machines: machine types, see ``machines.RECIPES``.
        sections_per_machine: physical machines of each type.
        source_normals: normal recordings to learn from, source domain.
        target_normals: normal recordings to learn from, target domain.
        test_normals: normal test recordings in each domain.
        test_anomalies: anomalous test recordings in each domain; the kinds take turns.
        noise_only: recordings of the surroundings alone, the domains in turn.
        seed: another seed is another customer.
        duration_s: length of each recording, at least one second.
        sample_rate_hz: samples per second, 8000 to 192000.
        channels: 1 to 8; each channel is a microphone position of its own, the first as in the table.

    Raises:
        ParameterError: a value that cannot be used; the text names it.
    """

    machines: tuple[str, ...] = ("fan", "pump")
    sections_per_machine: int = 1
    source_normals: int = 20
    target_normals: int = 10
    test_normals: int = 10
    test_anomalies: int = 10
    noise_only: int = 2
    seed: int = 0
    duration_s: float = 10.0
    sample_rate_hz: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.machines, str) or not self.machines:
            raise ParameterError("machines: give at least one machine type, as a list.")
        object.__setattr__(self, "machines", tuple(self.machines))
        for machine_type in self.machines:
            recipe_of(machine_type)
        if len(set(self.machines)) < len(self.machines):
            raise ParameterError(f"machines: {', '.join(self.machines)} names a type twice. Name each once.")
        for name, lowest, highest in _LIMITS:
            _check_whole(name, getattr(self, name), lowest, highest)
        if self.source_normals + self.target_normals < 1:
            raise ParameterError(
                "source_normals and target_normals are both 0, so there is nothing to learn from. "
                "Ask for at least one normal recording."
            )
        if isinstance(self.duration_s, bool) or not isinstance(self.duration_s, (int, float)):
            raise ParameterError(f"duration_s: {self.duration_s!r} is not a number of seconds.")
        if not 1.0 <= self.duration_s <= _MOST_SAMPLES / (self.sample_rate_hz * self.channels):
            longest = _MOST_SAMPLES // (self.sample_rate_hz * self.channels)
            raise ParameterError(
                f"duration_s: {self.duration_s:g} is not between 1 and {longest} s, which is what "
                f"{self.sample_rate_hz} Hz and {self.channels} channel(s) allow."
            )

    @property
    def samples(self) -> int:
        """Samples per channel of a recording."""
        return round(self.duration_s * self.sample_rate_hz)

    @property
    def recordings(self) -> int:
        """Recordings in the whole zip."""
        per_section = self.source_normals + self.target_normals + 2 * (self.test_normals + self.test_anomalies)
        return len(self.machines) * self.sections_per_machine * (per_section + self.noise_only)


def spec_from(values: Mapping[str, Any]) -> SynthSpec:
    """The spec of a mapping, as parameter files hold it; a name that it does not know is a ``ParameterError``."""
    known = [item.name for item in fields(SynthSpec)]
    if unknown := sorted(set(values) - set(known)):
        raise ParameterError(f"synth: no such parameter: {', '.join(unknown)}. There are {', '.join(known)}.")
    return SynthSpec(**values)


_LIMITS = (
    ("sections_per_machine", 1, 100),
    ("source_normals", 0, None),
    ("target_normals", 0, None),
    ("test_normals", 0, None),
    ("test_anomalies", 0, None),
    ("noise_only", 0, None),
    ("seed", 0, None),
    ("sample_rate_hz", 8_000, 192_000),
    ("channels", 1, 8),
)


@dataclass(frozen=True)
class SynthSummary:
    """What was written: counts, seconds of audio per channel, and the zip's size and SHA-256."""

    recordings: int
    sections: int
    seconds: float
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Section:
    """One physical machine at its place; ``noises`` are the kinds heard there, by domain."""

    machine: Machine
    number: int
    noises: dict[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        return f"{self.number:02d}"


@dataclass(frozen=True)
class _Group:
    """The recordings of a section that serve one purpose. ``key`` keeps their random streams apart."""

    key: int
    split: str
    domain: str
    label: str
    count: int


@dataclass(frozen=True)
class _Task:
    section: _Section
    group: _Group
    index: int


@dataclass(frozen=True)
class _Recording:
    path: str
    wav: bytes
    row: dict[str, str]


def synthesize(target: Path, spec: SynthSpec, progress: Progress = silent, *, workers: int = 0) -> SynthSummary:
    """Write the customer's zip to ``target``; it appears there only when complete.

    Args:
        target: the zip to write; an existing file is replaced.
        spec: what goes into it.
        progress: told after every recording.
        workers: threads; 0 means one for each core. The bytes do not depend on it.
    """
    threads = workers or len(os.sched_getaffinity(0))
    rows = []
    with (
        _replaced_file(target) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive,
        closing(_in_order(lambda task: _record(spec, task), _tasks(spec), threads)) as made,
    ):
        for recording in made:
            _add(archive, recording.path, recording.wav)
            rows.append(recording.row)
            progress(len(rows), spec.recordings, "recordings")
        _add(archive, "metadata.csv", _table(rows))
    return SynthSummary(
        recordings=len(rows),
        sections=len(spec.machines) * spec.sections_per_machine,
        seconds=len(rows) * spec.samples / spec.sample_rate_hz,
        bytes=target.stat().st_size,
        sha256=sha256_of(target),
    )


def _check_whole(name: str, value: object, lowest: int, highest: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(f"{name}: {value!r} is not a whole number.")
    if value < lowest or (highest is not None and value > highest):
        span = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ParameterError(f"{name}: {value} cannot be used. It must be {span}.")


def _groups(spec: SynthSpec) -> tuple[_Group, ...]:
    return (
        _Group(1, "train", "source", "normal", spec.source_normals),
        _Group(2, "train", "target", "normal", spec.target_normals),
        _Group(3, "test", "source", "normal", spec.test_normals),
        _Group(4, "test", "target", "normal", spec.test_normals),
        _Group(5, "test", "source", "anomaly", spec.test_anomalies),
        _Group(6, "test", "target", "anomaly", spec.test_anomalies),
        _Group(7, "supplemental", "source", "unknown", spec.noise_only - spec.noise_only // 2),
        _Group(8, "supplemental", "target", "unknown", spec.noise_only // 2),
    )


def _tasks(spec: SynthSpec) -> Iterator[_Task]:
    for machine_type in spec.machines:
        for number in range(spec.sections_per_machine):
            section = _build_section(spec, machine_type, number)
            for group in _groups(spec):
                for index in range(group.count):
                    yield _Task(section, group, index)


def _rng(spec: SynthSpec, machine_type: str, section: int, group: int, index: int) -> np.random.Generator:
    """A stream that depends on nothing else: not on the other machines, the counts or the threads."""
    key = (zlib.crc32(machine_type.encode()), section, group, index)
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=key))


def _build_section(spec: SynthSpec, machine_type: str, number: int) -> _Section:
    rng = _rng(spec, machine_type, number, 0, 0)
    noises = {
        name: tuple(rng.choice(domain.noises, 2, replace=False).tolist()) for name, domain in DOMAINS.items()
    }
    return _Section(build_machine(machine_type, rng), number, noises)


def _record(spec: SynthSpec, task: _Task) -> _Recording:
    """Make one recording and its row."""
    section, group = task.section, task.group
    machine_type = section.machine.machine_type
    rng = _rng(spec, machine_type, section.number, group.key, task.index)
    place = f"{machine_type}_{section.name}"
    name = f"{group.split}_{group.domain}_{group.label}_{task.index:03d}"
    path = f"audio/{place}/{name}.wav"
    render = _surroundings_alone if group.split == "supplemental" else _machine_running
    channels, conditions = render(spec, task, rng)
    row = {
        "relative_path": path,
        "clip_id": f"{place}_{name}",
        "machine_type": machine_type,
        "section_id": section.name,
        "recorded_at": _recorded_at(task).isoformat(),
        "operator_confirmed": "true" if group.split == "train" else "",
        "split": group.split,
        "domain": group.domain,
        "label": group.label,
    }
    return _Recording(path, _wav(channels, spec.sample_rate_hz), row | conditions)


def _machine_running(
    spec: SynthSpec, task: _Task, rng: np.random.Generator
) -> tuple[list[Signal], dict[str, str]]:
    """The machine, healthy or not, as each channel hears it: ``channels`` times (n,), and its conditions."""
    domain, noises = DOMAINS[task.group.domain], task.section.noises[task.group.domain]
    speed, load = str(rng.choice(domain.speeds)), str(rng.choice(tuple(LOADS)))
    first_position, noise_id = int(rng.integers(len(domain.microphones))), str(rng.choice(noises))
    snr_db = round(rng.uniform(*domain.snr_db), 1)
    healthy = task.section.machine.sound(rng, spec.samples, spec.sample_rate_hz, SPEEDS[speed], LOADS[load])
    emitted, fault = healthy, {}
    if task.group.label == "anomaly":
        kind = tuple(ANOMALIES)[task.index % len(ANOMALIES)]
        emitted, regions = add_anomaly(kind, healthy, spec.sample_rate_hz, rng)
        fault = {"anomaly_type": kind, "anomaly_regions": json.dumps(regions)}
    channels = []
    for channel in range(spec.channels):
        position = domain.microphones[(first_position + channel) % len(domain.microphones)]
        reference = listen(healthy, position, spec.sample_rate_hz)
        heard = reference if emitted is healthy else listen(emitted, position, spec.sample_rate_hz)
        noise_signal = background(noise_id, rng, spec.samples, spec.sample_rate_hz)
        channels.append(mix(heard, noise_signal, snr_db, reference))
    conditions = {
        "mic_position_id": domain.microphones[first_position],
        "noise_id": noise_id,
        "speed_level": speed,
        "load_level": load,
        "snr_db": f"{snr_db:.1f}",
    }
    return channels, conditions | fault


def _surroundings_alone(
    spec: SynthSpec, task: _Task, rng: np.random.Generator
) -> tuple[list[Signal], dict[str, str]]:
    """The surroundings with the machine off: ``channels`` times (n,), and their conditions."""
    domain, noises = DOMAINS[task.group.domain], task.section.noises[task.group.domain]
    noise_id = noises[task.index % len(noises)]
    level = gain_of(rng.uniform(*_NOISE_ONLY_DBFS))
    channels = [level * background(noise_id, rng, spec.samples, spec.sample_rate_hz) for _ in range(spec.channels)]
    position = str(rng.choice(domain.microphones))
    return channels, {"mic_position_id": position, "noise_id": noise_id, "supp_type": "noise"}


def _recorded_at(task: _Task) -> datetime:
    """A working-hours date in the past: the groups follow each other by weeks, recordings by half hours."""
    day, slot = divmod(task.index, 16)
    first = _FIRST_DAY[task.group.domain]
    return first + timedelta(weeks=task.group.key, days=day, minutes=30 * slot, hours=task.section.number % 2)


def _wav(channels: list[Signal], sample_rate_hz: int) -> bytes:
    """PCM16 WAV; a recording that would clip is turned down as a whole."""
    frames = np.stack(channels, axis=1)
    peak = float(np.abs(frames).max())
    if peak > _PEAK:
        frames *= _PEAK / peak
    stream = io.BytesIO()
    with wave.open(stream, "wb") as writer:
        writer.setnchannels(len(channels))
        writer.setsampwidth(2)
        writer.setframerate(sample_rate_hz)
        writer.writeframes(np.rint(frames * 32767.0).astype("<i2").tobytes())
    return stream.getvalue()


def _table(rows: list[dict[str, str]]) -> bytes:
    """The table as Excel likes it: UTF-8 with a byte order mark, commas, CRLF."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, TABLE_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8-sig")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Store an entry with nothing in it that depends on when or where it is made."""
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, data)


def _in_order(
    make: Callable[[_Task], _Recording], tasks: Iterator[_Task], threads: int
) -> Generator[_Recording, None, None]:
    """What the threads make, in the order of the tasks, with no more than two a thread ahead."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Recording]] = deque(pool.submit(make, task) for task in islice(tasks, 2 * threads))
        try:
            while ahead:
                recording = ahead.popleft().result()
                ahead.extend(pool.submit(make, task) for task in islice(tasks, 1))
                yield recording
        finally:
            for future in ahead:
                future.cancel()


@contextmanager
def _replaced_file(target: Path) -> Iterator[Path]:
    """Yield a file beside ``target`` that takes its name when the block ends well.

    Leftovers of killed runs are removed first; a run that fails leaves nothing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        leftover.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o644)
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
