"""Which channel is what, and the rows that all recordings have."""

from __future__ import annotations

import numpy as np
import pytest

from alp_assets.signals.recording import SignalRecording, SignalUnreadable
from alp_assets.signals.roles import choose, role_of, standard_rows


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("phase_a", "phase_a"),
        ("Phase B", "phase_b"),
        ("Ic", "phase_c"),
        ("I_A", "phase_a"),
        ("Current L2", "phase_b"),
        ("R상 전류", "phase_a"),
        ("S상", "phase_b"),
        ("전류 T상", "phase_c"),
        ("U상전류(A)", "phase_a"),
        ("누설 자속", "flux"),
        ("Flux", "flux"),
        ("CH1", None),
        ("speed", None),
        ("x", None),
    ],
)
def test_names_of_channels_tell_roles(name, role):
    assert role_of(name) == role


def test_axes_are_those_of_vibration_alone():
    assert role_of("acc_x", "vibration") == "axis_x"
    assert role_of("진동 Z", "vibration") == "axis_z"
    assert role_of("Ia", "vibration") is None


@pytest.mark.parametrize(
    ("names", "named", "channels", "places", "roles"),
    [
        (("CH1", "CH2", "CH3"), True, "", (0, 1, 2), ("phase_a", "phase_b", "phase_c")),
        (("CH1", "CH2", "CH3", "CH4"), False, "", (0, 1, 2, 3), ("phase_a", "phase_b", "phase_c", "flux")),
        (("CH1", "CH2", "CH3"), True, "phase_c,phase_a,phase_b", (0, 1, 2), ("phase_c", "phase_a", "phase_b")),
        (("CH1", "CH2"), True, "none, flux", (1,), ("flux",)),
        (("T", "Ia", "torque"), True, "Ia=phase_b", (1,), ("phase_b",)),
        (("CH1", "CH2", "CH3"), True, "phase_a=CH3; CH1 = R상", (0, 2), ("phase_a", "phase_a")),
        (("Ib", "Ia", "speed"), True, "", (0, 1), ("phase_b", "phase_a")),
        (("CH1", "CH2", "CH3"), False, "R S T", (0, 1, 2), ("phase_a", "phase_b", "phase_c")),
    ],
)
def test_roles_come_from_the_table_then_the_names_then_the_order(names, named, channels, places, roles):
    if len(set(roles)) < len(roles):
        with pytest.raises(SignalUnreadable, match="phase_a"):
            choose(names, named, channels, "current")
        return
    found = choose(names, named, channels, "current")
    assert (found.places, found.roles) == (places, roles)


def test_what_was_assumed_is_told():
    assert [one.code for one in choose(("CH1", "CH2", "CH3"), True, "", "current").warnings] == [
        "signal_roles_assumed"
    ]
    assert [one.code for one in choose(("Ia", "speed"), True, "", "current").warnings] == ["signal_channels_left"]
    assert not choose(("Ia", "Ib"), True, "", "current").warnings


def test_a_single_channel_of_flux_is_flux_and_three_of_vibration_are_axes():
    assert choose(("CH1",), False, "", "flux").roles == ("flux",)
    assert choose(("CH1", "CH2", "CH3"), False, "", "vibration").roles == ("axis_x", "axis_y", "axis_z")
    assert choose(("x", "y"), True, "", "vibration").roles == ("axis_x", "axis_y")


@pytest.mark.parametrize(
    ("names", "named", "channels", "code"),
    [
        (("CH1",), False, "phase_d", "signal_role_unknown_near"),
        (("CH1",), False, "speed", "signal_role_unknown"),
        (("CH1", "CH2"), False, "phase_a", "signal_channel_count"),
        (("CH1",), True, "CH9=phase_a", "signal_channel_unknown"),
        (("CH1", "CH2"), False, "flux,flux", "signal_role_twice"),
        (("CH1", "CH2"), False, "", "signal_roles_unknown"),
        (("speed", "torque"), True, "", "signal_roles_unknown"),
        (("CH1",), False, "none", "signal_roles_unknown"),
        (tuple("abcde"), False, "", "signal_roles_unknown"),
    ],
)
def test_what_cannot_be_told_is_refused(names, named, channels, code):
    with pytest.raises(SignalUnreadable) as caught:
        choose(names, named, channels, "current")
    assert caught.value.problem.code == code


def recording(**roles):
    values = np.array([[value] * 3 for value in roles.values()], np.float32)
    return SignalRecording("CSV", tuple(roles), tuple(roles), 1000.0, values, (0,) * len(roles))


def test_the_standard_rows_are_in_one_order_with_zeros_for_what_is_missing():
    rows, present = standard_rows(recording(flux=4, phase_b=2, phase_a=1))
    assert rows[:, 0].tolist() == [1, 2, 0, 4]
    assert rows.shape == (4, 3)
    assert present == (True, True, False, True)


def test_a_masked_role_is_zeros_and_not_present():
    rows, present = standard_rows(recording(phase_a=1, flux=4), masked=("flux",))
    assert rows[:, 0].tolist() == [1, 0, 0, 0]
    assert present == (True, False, False, False)
    with pytest.raises(ValueError, match="fluks"):
        standard_rows(recording(phase_a=1), masked=("fluks",))


def test_axes_lie_in_the_rows_of_the_phases():
    assert standard_rows(recording(axis_z=3, axis_x=1))[0][:, 0].tolist() == [1, 0, 3, 0]
