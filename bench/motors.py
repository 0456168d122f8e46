"""Detection on real motor recordings: one class normal, ten of its recordings known, all else to be told apart.

Each class takes its turn as the normal one, with several draws of the recordings that are known; each draw
is a package of a customer of its own and goes through the eight stages. Seeds 0, 1, ... are for reporting
alone: what the defaults are was chosen on seeds from 100 up. The draws of a class overlap, so the spread
over seeds is that of the draw and not of new recordings.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alp_assets.params import Params
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.scores import read_metrics
from bench.direct import params_with, run_stages
from bench.motor_sounds import MotorRecording, classes, labelled_recordings, slug, write_package
from bench.output import save, say, show
from bench.real_data import absent, motor_sounds


@dataclass(frozen=True)
class Draw:
    """What one class and seed gave."""

    motor_class: str
    seed: int
    engine: str
    auc: float
    pauc: float
    promised: float
    false_alarms: int
    normals: int
    detected: int
    anomalies: int


def main() -> None:
    """Measure, print and write ``motors.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.motors", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="draws for each class: seeds 0 to N-1")
    parser.add_argument("--normals", type=int, default=10, help="known normal recordings in each draw")
    chosen = parser.parse_args()
    folder = motor_sounds()
    if folder is None:
        say(f"motors: skipped, {absent()}")
        return
    recordings = labelled_recordings(folder)
    params = params_with({"quality.data_docs": False, "versioned.enabled": False, "sensitivity.enabled": False})
    draws = [
        onboard(recordings, motor_class, seed, chosen.normals, params)
        for motor_class in classes(recordings)
        for seed in range(chosen.seeds)
    ]
    rows = [_of_class(name, [draw for draw in draws if draw.motor_class == name]) for name in classes(recordings)]
    overall = _overall(rows, draws)
    _print(rows, overall, chosen.normals, chosen.seeds)
    save(
        "motors",
        {
            "normals": chosen.normals,
            "seeds": list(range(chosen.seeds)),
            "classes": rows,
            "overall": overall,
            "draws": [asdict(draw) for draw in draws],
            "parameters": params.model_dump(mode="json", include={"clips", "embeddings", "models", "decision"}),
        },
    )


def onboard(recordings: list[MotorRecording], motor_class: str, seed: int, normals: int, params: Params) -> Draw:
    """Work one package through all stages, in a data root that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        root = Path(scratch)
        archive = root / "package.zip"
        write_package(archive, recordings, motor_class, seed, normals)
        folder = PackageFolder(root / "data", f"motor-{slug(motor_class)}", f"seed-{seed}")
        run_stages(folder, archive, params)
        return _draw(motor_class, seed, read_metrics(folder)["sections"][0])


def _draw(motor_class: str, seed: int, entry: dict[str, Any]) -> Draw:
    observed = entry["observed"]
    return Draw(
        motor_class=motor_class,
        seed=seed,
        engine=entry["engine"],
        auc=entry["auc"],
        pauc=entry["pauc"],
        promised=entry["promised_false_alarm_rate"],
        false_alarms=observed["false_alarms"],
        normals=observed["normals"],
        detected=entry["flagged"] - observed["false_alarms"],
        anomalies=entry["anomalies"],
    )


def _of_class(name: str, draws: list[Draw]) -> dict[str, Any]:
    """One line of the table: means over the draws of a class."""
    aucs = [draw.auc for draw in draws]
    return {
        "class": name,
        "engine": ", ".join(sorted({draw.engine for draw in draws})),
        "auc": statistics.fmean(aucs),
        "auc_std": statistics.pstdev(aucs),
        "auc_min": min(aucs),
        "auc_max": max(aucs),
        "pauc": statistics.fmean(draw.pauc for draw in draws),
        **_rates(draws),
    }


def _overall(rows: list[dict[str, Any]], draws: list[Draw]) -> dict[str, float]:
    """Means over the classes, and the spread of the mean over classes from seed to seed."""
    seeds = sorted({draw.seed for draw in draws})
    by_seed = [statistics.fmean(draw.auc for draw in draws if draw.seed == seed) for seed in seeds]
    return {
        "auc": statistics.fmean(row["auc"] for row in rows),
        "auc_std": statistics.pstdev(by_seed),
        "auc_min": min(by_seed),
        "auc_max": max(by_seed),
        "pauc": statistics.fmean(row["pauc"] for row in rows),
        **_rates(draws),
    }


def _rates(draws: list[Draw]) -> dict[str, float]:
    return {
        "promised": statistics.fmean(draw.promised for draw in draws),
        "false_alarms": sum(draw.false_alarms for draw in draws) / sum(draw.normals for draw in draws),
        "detected": sum(draw.detected for draw in draws) / sum(draw.anomalies for draw in draws),
    }


def _print(rows: list[dict[str, Any]], overall: dict[str, float], normals: int, seeds: int) -> None:
    columns = ("normal class", "AUC", "± over seeds", "min", "max", "pAUC", "promised", "false alarms", "detected")
    lines = [_line(row["class"], row) for row in rows]
    show(
        f"Motors: {normals} known normals, seeds 0 to {seeds - 1}, {', '.join({row['engine'] for row in rows})}",
        columns,
        [*lines, _line("mean", overall)],
    )


def _line(name: str, row: dict[str, Any]) -> list[str]:
    aucs = [f"{row[figure]:.3f}" for figure in ("auc", "auc_std", "auc_min", "auc_max", "pauc")]
    return [name, *aucs, *(f"{row[figure]:.1%}" for figure in ("promised", "false_alarms", "detected"))]


if __name__ == "__main__":
    main()
