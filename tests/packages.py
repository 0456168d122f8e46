"""Small packages for tests: recordings that behave like a machine's, and the table about them."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from alp_assets.params import Params, with_overrides
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.summary import Summary
from alp_assets.stages.upload import upload

FAST = with_overrides(
    Params(),
    {"quality.data_docs": False, "versioned.enabled": False, "run.workers": 1, "sensitivity.clips": 2},
)
RATE = 16_000

Row = dict[str, Any]


def hum(seed: int, *, seconds: float = 2.0, rate: int = RATE, faulty: bool = False) -> np.ndarray:
    """A machine: harmonics and noise; a faulty one rattles as well."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = sum(0.05 / k * np.sin(2 * np.pi * 120 * k * time + rng.uniform(0, 6)) for k in range(1, 5))
    sound = sound + 0.01 * rng.standard_normal(time.size)
    if faulty:
        sound = sound + 0.1 * rng.standard_normal(time.size) * (np.sin(2 * np.pi * 7 * time) > 0.8)
    return sound.astype(np.float32)


def audio(sound: np.ndarray, *, rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of a recording."""
    stream = io.BytesIO()
    sf.write(stream, sound, rate, format=form, subtype=subtype)
    return stream.getvalue()


def row(path: str, **more: Any) -> Row:
    """A row of the table that holds the contract."""
    return {
        "relative_path": path,
        "machine_type": "fan",
        "section_id": "1",
        "recorded_at": "2025-03-04 10:00",
        "operator_confirmed": "yes",
        **more,
    }


def table(rows: Sequence[Row], *, encoding: str = "utf-8-sig") -> bytes:
    """``metadata.csv`` of some rows."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for item in rows for name in item)))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode(encoding)


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def machine_files(
    *, train: int = 6, normal: int = 4, anomaly: int = 4, section: str = "1", seed: int = 0, **more: Any
) -> tuple[dict[str, bytes], list[Row]]:
    """Recordings and rows of one machine."""
    files: dict[str, bytes] = {}
    rows: list[Row] = []
    kinds = [("train", "normal")] * train + [("test", "normal")] * normal + [("test", "anomaly")] * anomaly
    for number, (split, label) in enumerate(kinds):
        path = f"audio/{section}/{split}_{label}_{number:02d}.wav"
        files[path] = audio(hum(seed * 1000 + number, faulty=label == "anomaly"))
        confirmed = {"operator_confirmed": "" if label == "anomaly" else "yes"}
        rows.append(row(path, split=split, label=label, section_id=section, **{**confirmed, **more}))
    return files, rows


def machine_package(path: Path, **options: Any) -> Path:
    """The zip of one machine's recordings."""
    files, rows = machine_files(**options)
    return zipped(path, {**files, "metadata.csv": table(rows)})


def receive(root: Path, archive: Path, *, customer: str = "acme", package: str = "first") -> PackageFolder:
    """A package that has been uploaded."""
    folder = PackageFolder(root, customer, package)
    upload(folder, FAST, archive=archive)
    return folder


def run_through(folder: PackageFolder, *, until: str = "report", params: Params = FAST) -> dict[str, Summary]:
    """Run the stages after upload up to one, as a driver does, stopping at a failed gate."""
    summaries = {}
    for name in STAGES[1 : STAGES.index(until) + 1]:
        summaries[name] = run_stage(name, folder, params)
        if not summaries[name].passed:
            break
    return summaries


def tree(path: Path, *, without: str = "") -> dict[str, str]:
    """Every file and folder under a path with the digest of its bytes, but for one folder at the top."""
    return {
        found.relative_to(path).as_posix(): hashlib.sha256(found.read_bytes()).hexdigest()
        if found.is_file()
        else ""
        for found in sorted(path.rglob("*"))
        if found.relative_to(path).parts[0] != without
    }
