"""Real stator currents with shorts between turns, through all stages."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from alp_assets.stages.clips import read_clips
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import read_quality
from alp_assets.stages.scores import read_metrics, read_scores
from bench.direct import params_with, run_stages
from bench.signal_data import ROLES, SAMPLE_RATE_HZ, absent, read_currents, stator_currents

ARCHIVE = stator_currents()
pytestmark = pytest.mark.skipif(ARCHIVE is None, reason=absent())

POINTS = 1000
TRAINED = 4


def write_package(path):
    """Four recordings of the healthy motor to learn from, and all others as tests."""
    table = io.StringIO()
    columns = (
        "relative_path",
        "machine_type",
        "section_id",
        "recorded_at",
        "operator_confirmed",
        "split",
        "label",
    )
    columns += ("modality", "sample_rate_hz", "channels")
    rows = csv.DictWriter(table, columns)
    rows.writeheader()
    with zipfile.ZipFile(path, "w") as package:
        for item in read_currents(ARCHIVE):
            learned = not item.level and item.number <= TRAINED
            stream = io.BytesIO()
            np.savetxt(stream, item.values.T, fmt="%.7g", delimiter=",")
            package.writestr(f"signals/{item.name}.csv", stream.getvalue())
            about = {"machine_type": "motor", "section_id": "itsc", "recorded_at": "2023-01-01"}
            about |= {"modality": "current", "sample_rate_hz": SAMPLE_RATE_HZ, "channels": ROLES}
            about |= {"operator_confirmed": "yes" if learned else "", "split": "train" if learned else "test"}
            about |= {"label": "anomaly" if item.level else "normal"}
            rows.writerow({"relative_path": f"signals/{item.name}.csv", **about})
        package.writestr("metadata.csv", table.getvalue())


@pytest.fixture(scope="module")
def onboarded(tmp_path_factory):
    """The motor, with clips as long as its recordings."""
    root = tmp_path_factory.mktemp("currents")
    write_package(root / "package.zip")
    folder = PackageFolder(root / "data", "motors", "itsc")
    quick = {"quality.data_docs": False, "versioned.enabled": False, "signals.clip_points": POINTS}
    run_stages(folder, root / "package.zip", params_with(quick))
    return folder


def test_every_recording_is_accepted_on_its_60_hz_supply(onboarded):
    quality = read_quality(onboarded)
    assert quality["verdict"].tolist() == ["ok"] * 65, quality["reasons"].unique()
    assert set(quality["modality"]) == {"current"}
    assert len(read_clips(onboarded)) == 65
    measures = pd.read_parquet(onboarded.stage("quality") / "signals.parquet")
    assert measures["mains_hz"].between(59.5, 60.5).all()


def test_shorts_score_above_the_healthy_motor(onboarded):
    (entry,) = read_metrics(onboarded)["sections"]
    assert (entry["state"], entry["engine"]) == ("scored", "signal_spectrum")
    assert entry["auc"] >= 0.95
    scores = read_scores(onboarded).query("split == 'test'")
    worst = scores["clip_id"].str.contains("A4|B4|C4")
    healthy = scores.loc[scores["label"] == "normal", "score"].max()
    assert worst.any()
    assert scores.loc[worst, "score"].min() > healthy


def test_the_report_shows_the_phases(onboarded):
    assert "phase a" in (onboarded.stage("report") / "report.html").read_text()
