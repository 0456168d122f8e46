"""Tiny data sets, laid out and named as DCASE Task 2 and MIMII are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tests.packages import audio, hum

SECONDS = 1.0


def sound(seed: int, channels: int = 1, **options: object) -> bytes:
    """A WAV of which every channel sounds different."""
    columns = [hum(100 * seed + channel, seconds=SECONDS, **options) for channel in range(channels)]
    return audio(np.stack(columns, axis=1) if channels > 1 else columns[0])


def lay(root: Path, names: Mapping[str, bytes] | list[str], channels: int = 1) -> Path:
    """Put files below a folder; those without bytes become recordings that differ."""
    given = names if isinstance(names, Mapping) else dict.fromkeys(names, b"")
    for seed, (name, data) in enumerate(given.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data or sound(seed, channels, faulty="anomaly" in name or "abnormal" in name))
    return root


def of_2020(machine: str = "fan", number: str = "00") -> list[str]:
    return [
        *(f"{machine}/train/normal_id_{number}_{index:08d}.wav" for index in range(4)),
        *(f"{machine}/test/normal_id_{number}_{index:08d}.wav" for index in range(2)),
        *(f"{machine}/test/anomaly_id_{number}_{index:08d}.wav" for index in range(2)),
    ]


def of_2021(machine: str = "fan", section: str = "00") -> list[str]:
    return [*_training(machine, section, "strength_1_ambient"), *_tests_of_2021(machine, section)]


def of_2022(machine: str = "fan", section: str = "00", attributes: str = "m-n_W") -> list[str]:
    return [*_training(machine, section, attributes), *_tests(machine, section, attributes)]


def kept_back(machine: str = "fan", section: str = "03", infix: str = "") -> list[str]:
    """An evaluation set of 2022 or later, whose tests tell nothing."""
    tests = [f"{machine}/test/section_{section}_{infix}{index:04d}.wav" for index in range(4)]
    return [*_training(machine, section, "m-n_W"), *tests]


def of_2025(machine: str = "fan", section: str = "00") -> list[str]:
    return [
        *of_2022(machine, section, "noAttribute"),
        f"{machine}/supplemental/section_{section}_machine_0001_.wav",
        f"{machine}/supplemental/section_{section}_machine_source_0002_noAttribute.wav",
        f"{machine}/supplemental/section_{section}_noise_0001_.wav",
    ]


def mimii(machine: str = "fan", number: str = "00", above: str = "6_dB_fan/") -> list[str]:
    folder = f"{above}{machine}/id_{number}"
    return [
        *(f"{folder}/normal/{index:08d}.wav" for index in range(7)),
        *(f"{folder}/abnormal/{index:08d}.wav" for index in range(2)),
    ]


def attribute_table(names: list[str], **attributes: str) -> bytes:
    """``attributes_00.csv`` that tells the same of every recording."""
    header = ["file_name", *(f"d{number}{part}" for number in range(1, len(attributes) + 1) for part in "pv")]
    cells = [cell for pair in attributes.items() for cell in pair]
    return "\n".join(",".join(row) for row in (header, *([name, *cells] for name in names))).encode()


def _training(machine: str, section: str, attributes: str) -> Iterator[str]:
    for domain, count in (("source", 4), ("target", 2)):
        for index in range(count):
            yield f"{machine}/train/section_{section}_{domain}_train_normal_{index:04d}_{attributes}.wav"


def _tests(machine: str, section: str, attributes: str) -> Iterator[str]:
    for domain in ("source", "target"):
        for label in ("normal", "anomaly"):
            yield f"{machine}/test/section_{section}_{domain}_test_{label}_0000_{attributes}.wav"


def _tests_of_2021(machine: str, section: str) -> Iterator[str]:
    for domain in ("source", "target"):
        for label in ("normal", "anomaly"):
            yield f"{machine}/{domain}_test/section_{section}_{domain}_test_{label}_0000.wav"
