"""What the side-by-side bench draws from: real motors, the same in noise, and the synthetic customer.

Every recording is embedded once for a condition and used by all draws and engines.

``motors``: one class is normal, n of its recordings are known, all else is to be told apart.

``motors, noise x dB``: n clean recordings of the class are the source domain, n with environmental noise in them
the target domain, and every test clip is noisy. The noise is x dB under the clip's own level (over it where x is
negative). Half of the noise recordings are heard in known clips; the other half, of other originals, in test
clips. Known clean and noisy recordings are different ones where that leaves half of the class to test on.

``synthetic``: source normals and n target normals of a machine, test clips of both domains, with metadata.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray, open_recording
from alp_assets.audio.mixing import mix_at_snr
from alp_assets.audio.standardize import standard_clips
from alp_assets.encoders.base import Encoder, Feature, Sound, View, dtype_of
from alp_assets.encoders.catalog import make_encoder
from alp_assets.engines.base import SOURCE, TARGET, Normals, Strings
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.synth.customer import SynthSpec, synthesize
from bench.motor_sounds import MotorRecording
from bench.real_data import place

Rows = npt.NDArray[np.intp]

VIEWS: dict[str, tuple[View, ...]] = {
    "alp_conv": ("pooled", "patches"),
    "logmel": ("pooled", "frames", "patches"),
    "descriptors": ("pooled",),
}
"""What is embedded, by encoder: all that engines work on where nobody brought weights."""

_DEVELOPMENT_FOLD = "1-"
"""Recordings of this fold of the noise set are for choosing defaults; the tables print the other folds."""

SYNTHETIC_SOURCE = 40
SYNTHETIC_MACHINES = ("fan", "pump")
_SYNTHETIC_TEST = 20
_CONDITIONS = ("mic_position_id", "noise_id", "speed_level", "load_level")


@dataclass(frozen=True)
class Draw:
    """Known normals and test clips of one machine, as rows of what was embedded.

    ``domains``, ``recordings`` and each of ``conditions`` are (len(train),); ``labels`` and ``test_domains``
    are (len(test),). ``normals`` is the count that was asked for, of the target domain.
    """

    condition: str
    group: str
    seed: int
    normals: int
    train: Rows
    domains: Strings
    recordings: Strings
    test: Rows
    labels: Strings
    test_domains: Strings
    conditions: Mapping[str, Strings] = field(default_factory=dict)

    def known(self, values: FloatArray) -> Normals:
        """The normals, out of embeddings of all clips."""
        return Normals(values[self.train], self.domains, self.recordings, self.conditions)


@dataclass(frozen=True)
class Pool:
    """Embeddings of all clips of a condition by feature, and the draws on them."""

    condition: str
    embedded: dict[Feature, FloatArray]
    draws: list[Draw]


def noise_recordings(*, development: bool = False) -> list[Path]:
    """Recordings of environmental noise, sorted; none where they are not. Those for development are apart."""
    found = sorted((place() / "esc10").glob("*/*.ogg"))
    return [path for path in found if path.name.startswith(_DEVELOPMENT_FOLD) == development]


def halves(noise: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Two halves, such that takes of one original (``1-17367-A``, ``1-17367-B``) are in the same."""
    originals = list(dict.fromkeys(path.stem.rpartition("-")[0] or path.stem for path in noise))
    first = set(originals[::2])
    parts: tuple[list[Path], list[Path]] = ([], [])
    for path in noise:
        parts[(path.stem.rpartition("-")[0] or path.stem) not in first].append(path)
    return parts


def motor_pool(
    recordings: Sequence[MotorRecording],
    seeds: Sequence[int],
    normals: Sequence[int],
    progress: Progress = silent,
    encoders: Sequence[Encoder] = (),
) -> Pool:
    """The condition ``motors``; of all encoders where none are named."""
    sounds = [_sound_of(recording.path) for recording in recordings]
    names = np.array([recording.motor_class for recording in recordings])
    groups = sorted(set(names.tolist()))
    draws = [draw_motors(names, group, seed, n) for n in normals for seed in seeds for group in groups]
    return Pool("motors", embed(sounds, progress, encoders), draws)


def noisy_pool(
    recordings: Sequence[MotorRecording],
    noise: Sequence[Path],
    snr_db: float,
    seeds: Sequence[int],
    normals: Sequence[int],
    progress: Progress = silent,
    encoders: Sequence[Encoder] = (),
) -> Pool:
    """The condition ``motors, noise x dB``: rows are the clean clips, those with known and those with test noise.

    Which noise is in which clip, and from where on, is drawn by the first of the seeds.
    """
    clean = [_sound_of(recording.path) for recording in recordings]
    rng = np.random.default_rng(seeds[0])
    known, unknown = ([_sound_of(path).samples for path in part] for part in halves(noise))
    sounds = [*clean, *_noisy(clean, known, snr_db, rng), *_noisy(clean, unknown, snr_db, rng)]
    names = np.array([recording.motor_class for recording in recordings])
    groups, condition = sorted(set(names.tolist())), noise_condition(snr_db)
    draws = [draw_noisy(names, group, seed, n, condition) for n in normals for seed in seeds for group in groups]
    return Pool(condition, embed(sounds, progress, encoders), draws)


def noise_condition(snr_db: float) -> str:
    """What a noisy condition is called."""
    return f"motors, noise {snr_db:g} dB"


def synthetic_pool(seed: int, normals: Sequence[int], progress: Progress = silent) -> Pool:
    """The condition ``synthetic``: one customer, a machine of each type."""
    spec = SynthSpec(
        machines=SYNTHETIC_MACHINES,
        source_normals=SYNTHETIC_SOURCE,
        target_normals=max(normals),
        test_normals=_SYNTHETIC_TEST,
        test_anomalies=_SYNTHETIC_TEST,
        noise_only=0,
        seed=seed,
    )
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        package = Path(scratch) / "package.zip"
        synthesize(package, spec)
        with zipfile.ZipFile(package) as archive:
            table = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode("utf-8-sig"))))
            sounds = [_heard(io.BytesIO(archive.read(row["relative_path"]))) for row in table]
    draws = [draw_synthetic(table, machine, seed, n) for n in normals for machine in SYNTHETIC_MACHINES]
    return Pool("synthetic", embed(sounds, progress), draws)


def draw_motors(names: Strings, normal: str, seed: int, normals: int) -> Draw:
    """Known recordings of class ``normal`` among recordings of classes (n,), all others to test on.

    The same recordings as in the packages of ``bench.motors``.
    """
    of_class = np.flatnonzero(names == normal)
    _require(normal, len(of_class), normals)
    train = np.random.default_rng(seed).choice(of_class, normals, replace=False)
    test = np.setdiff1d(np.arange(len(names)), train)
    return _draw("motors", names, normal, seed, normals, train, np.full(normals, TARGET), test, 0)


def draw_noisy(names: Strings, normal: str, seed: int, normals: int, condition: str) -> Draw:
    """The same in noise, for rows (3 n,): clean ones, those with known and those with test noise."""
    count, of_class = len(names), np.flatnonzero(names == normal)
    _require(normal, len(of_class), normals)
    order = np.random.default_rng(seed).permutation(of_class)
    noisy = order[:normals]
    clean = order[normals : 2 * normals] if 4 * normals <= len(of_class) else noisy
    train = np.concatenate([clean, count + noisy])
    domains = np.repeat([SOURCE, TARGET], normals)
    test = np.setdiff1d(np.arange(count), train % count)
    return _draw(condition, names, normal, seed, normals, train, domains, test, 2 * count)


def draw_synthetic(table: Sequence[Mapping[str, str]], machine: str, seed: int, normals: int) -> Draw:
    """All source normals of a machine and ``normals`` of its target ones, drawn by the seed."""
    column = {name: np.array([row[name] for row in table]) for name in table[0]}
    known = (column["machine_type"] == machine) & (column["split"] == "train")
    target = np.flatnonzero(known & (column["domain"] == TARGET))
    chosen = np.sort(np.random.default_rng(seed).choice(target, normals, replace=False))
    train = np.concatenate([np.flatnonzero(known & (column["domain"] == SOURCE)), chosen])
    test = np.flatnonzero((column["machine_type"] == machine) & (column["split"] == "test"))
    return Draw(
        condition="synthetic",
        group=machine,
        seed=seed,
        normals=normals,
        train=train,
        domains=column["domain"][train],
        recordings=column["relative_path"][train],
        test=test,
        labels=column["label"][test],
        test_domains=column["domain"][test],
        conditions={name: column[name][train] for name in _CONDITIONS},
    )


def embed(
    sounds: Sequence[Sound], progress: Progress = silent, encoders: Sequence[Encoder] = ()
) -> dict[Feature, FloatArray]:
    """Every view in ``VIEWS`` of some encoders, by default all, (len(sounds), ...), kept as a package keeps it."""
    params = Params()
    encoders = encoders or [make_encoder(name, params.embeddings, Path()) for name in VIEWS]
    found: dict[Feature, list[FloatArray]] = {}
    for done, parts in enumerate(ordered_map(_embedding_by(encoders), sounds, params.run.threads), 1):
        for feature, value in parts.items():
            found.setdefault(feature, []).append(value)
        progress(done, len(sounds), "clips embedded")
    return {feature: np.stack(values) for feature, values in found.items()}


def _embedding_by(encoders: Sequence[Encoder]) -> Callable[[Sound], dict[Feature, FloatArray]]:
    def work(sound: Sound) -> dict[Feature, FloatArray]:
        return {
            Feature(encoder.name, view): values[0].astype(dtype_of(view))
            for encoder in encoders
            for view, values in encoder.encode([sound], VIEWS[encoder.name]).items()
        }

    return work


def _sound_of(path: Path) -> Sound:
    with path.open("rb") as stream:
        return _heard(stream)


def _heard(stream: BinaryIO) -> Sound:
    """The first clip of a recording."""
    with open_recording(stream) as recording:
        clip = next(standard_clips(recording, 1, 1.0))
    return Sound(clip.sound, clip.db_8_10k, clip.db_above_10k)


def _noisy(
    clean: Sequence[Sound], noise: Sequence[FloatArray], snr_db: float, rng: np.random.Generator
) -> Iterator[Sound]:
    for sound in clean:
        samples = noise[int(rng.integers(len(noise)))]
        yield Sound(mix_at_snr(sound.samples, samples, snr_db, int(rng.integers(len(samples)))))


def _require(normal: str, recordings: int, normals: int) -> None:
    if not 0 < normals < recordings:
        raise ValueError(
            f"class {normal!r} has {recordings} recordings; {normals} known ones leave none to test on"
        )


def _draw(
    condition: str,
    names: Strings,
    normal: str,
    seed: int,
    normals: int,
    train: Rows,
    domains: Strings,
    test: Rows,
    offset: int,
) -> Draw:
    """``test`` are recordings; their clips lie ``offset`` rows on."""
    return Draw(
        condition=condition,
        group=normal,
        seed=seed,
        normals=normals,
        train=train,
        domains=domains,
        recordings=(train % len(names)).astype(np.str_),
        test=test + offset,
        labels=np.where(names[test] == normal, "normal", "anomaly"),
        test_domains=np.full(len(test), TARGET),
    )
