"""What the swing of three phases adds to harmonics and sidebands, on made-up motors."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.engines.base import Normals
from alp_assets.engines.signal_spectrum import SignalSpectrum
from alp_assets.signal_params import SignalSpectrumParams
from alp_assets.synth.motor import Duty, Fault, build_motor, run_motor

POINTS, RATE = 2048, 2000.0
RECORDINGS = 8


def recordings(seed, count, fault=None):
    """Currents of one motor (count, 4, points) at several loads, the flux zeros as where it is masked."""
    motor, rng = build_motor(np.random.default_rng(5)), np.random.default_rng(seed)
    made = [
        run_motor(motor, rng, POINTS, RATE, Duty(load=float(rng.uniform(0.6, 1.0)), imbalance=0.0), fault)
        for _ in range(count)
    ]
    found = np.stack(made)
    found[:, 3] = 0.0
    return found


def fitted(values):
    return SignalSpectrum(SignalSpectrumParams()).fit(Normals(values, np.full(len(values), "target")))


def auc(model, faulty, healthy):
    return float((model.score(faulty)[:, None] > model.score(healthy)).mean())


@pytest.fixture(scope="module")
def known():
    return recordings(1, RECORDINGS)


@pytest.fixture(scope="module")
def model(known):
    return fitted(known)


@pytest.fixture(scope="module")
def without(known):
    """A model by harmonics and sidebands alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("alp_assets.engines.signal_lines.turns_evenly", lambda lines: False)
        return fitted(known)


@pytest.mark.parametrize("kind", ["inter_turn", "broken_bar"])
def test_weak_faults_show_in_the_swing_first(model, without, kind):
    healthy, faulty = recordings(2, 8), recordings(3, 8, Fault(kind, 0.03, phase=1))
    assert model.settings["lines"] == 96
    assert without.settings["lines"] == 0
    found, alone = auc(model, faulty, healthy), auc(without, faulty, healthy)
    assert found > 0.95
    assert found > alone + 0.1


def test_the_order_of_the_phases_makes_no_difference(known, model):
    assert fitted(known[:, [0, 2, 1, 3]]).settings == model.settings


@pytest.mark.parametrize("rows", [[0], [0, 1], [0, 0, 1, 3], [3, 0, 1, 2]])
def test_without_three_phases_harmonics_and_sidebands_do(known, rows):
    found = fitted(known[:, rows])
    assert found.settings["lines"] == found.settings["periods"] == 0
    assert np.isfinite(found.score(known[:, rows])).all()


def test_axes_of_vibration_are_no_phases():
    rng, time = np.random.default_rng(0), np.arange(POINTS) / RATE
    shaft = np.cos(2 * np.pi * 30 * time + rng.uniform(0, 6, (RECORDINGS, 1, 1)) + np.array([[0.0], [1.5], [0.4]]))
    values = shaft * np.array([[1.0], [0.7], [0.2]]) + 0.1 * rng.normal(size=(RECORDINGS, 3, POINTS))
    assert fitted(values.astype(np.float32)).settings["lines"] == 0


def test_evidence_names_the_phases_where_they_differ(model):
    healthy, faulty = recordings(4, 1), recordings(4, 1, Fault("broken_bar", 0.5))
    (before,), (after,) = model.explain(healthy), model.explain(faulty)
    assert (after.map[:3] > before.map[:3]).all()
    assert not after.map[3].any()


def test_a_model_of_harmonics_alone_is_read_back(without, known):
    settings = {name: value for name, value in without.settings.items() if name not in ("periods", "lines")}
    back = SignalSpectrum(SignalSpectrumParams()).restore(without.tensors(), settings)
    np.testing.assert_array_equal(back.score(known[:2]), without.score(known[:2]))
