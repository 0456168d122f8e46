"""One real package through all stages: quiet recordings of electric motors, ten of them known to be normal."""

import math

import pytest

from alp_assets.stages.clips import read_clips
from alp_assets.stages.models import read_threshold
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import read_quality
from alp_assets.stages.scores import read_metrics, read_scores
from bench.direct import params_with, run_stages
from bench.motor_sounds import labelled_recordings, write_package
from bench.real_data import absent, motor_sounds
from schemas.sections import Section

MOTORS = motor_sounds()
pytestmark = pytest.mark.skipif(MOTORS is None, reason=absent())


@pytest.fixture(scope="module")
def onboarded(tmp_path_factory):
    """Class 0 with seed 100, onboarded."""
    root = tmp_path_factory.mktemp("motors")
    write_package(root / "package.zip", labelled_recordings(MOTORS), "0", seed=100)
    folder = PackageFolder(root / "data", "motors", "class-0")
    run_stages(folder, root / "package.zip", params_with({"quality.data_docs": False, "versioned.enabled": False}))
    return folder


def test_every_recording_is_accepted_however_quiet(onboarded):
    quality = read_quality(onboarded)
    assert len(quality) == len(labelled_recordings(MOTORS))
    assert quality["rms_dbfs"].max() < -55
    assert quality["verdict"].tolist() == ["ok"] * len(quality), quality["reasons"].unique()


def test_ten_normals_are_learned_from(onboarded):
    clips = read_clips(onboarded)
    train = clips[clips["split"] == "train"]
    assert len(train) == 10
    assert set(train["label"]) == {"normal"}


def test_faulty_motors_stand_out(onboarded):
    [entry] = read_metrics(onboarded)["sections"]
    assert entry["state"] == "scored"
    assert entry["auc"] > 0.75


def test_threshold_and_scores_are_finite(onboarded):
    section = Section("motors", "motor", "0")
    threshold = read_threshold(onboarded.stage("models") / section.folder)
    assert math.isfinite(threshold["value"])
    assert len(threshold["calibration"]) == 10
    scores = read_scores(onboarded)
    assert len(scores) == len(labelled_recordings(MOTORS))
    assert scores["score"].map(math.isfinite).all()


def test_there_is_a_report(onboarded):
    page = (onboarded.stage("report") / "report.html").read_text(encoding="utf-8")
    assert "motor" in page
    assert page.rstrip().endswith("</html>")
