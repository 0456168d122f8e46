"""The machine types that can be synthesized. A further type is a further entry here."""

from __future__ import annotations

from dataclasses import dataclass

from alp_assets.errors import ParameterError
from alp_assets.synth.components import (
    Broadband,
    Bubbles,
    Clicks,
    Component,
    GearMesh,
    Motor,
    Range,
    RollingImpacts,
    Tones,
)


@dataclass(frozen=True)
class Recipe:
    """A machine type. Levels of components are relative to each other, in dB.

    ``cycle_hz`` is the shaft frequency at full load (of a valve: how often it switches), ``waver`` the relative
    standard deviation of its slow wander, ``slip`` by how much the shaft is behind the motor's field at full
    load, ``speed_db`` the change of level when the speed doubles, ``tone_load_db`` and ``noise_load_db`` the
    change of tones and noise when the load doubles; ``cycle`` is what people call a cycle a minute.
    """

    cycle_hz: Range
    waver: float
    depth: Range
    speed_db: float
    tone_load_db: float
    noise_load_db: float
    slip: Range = (0.0, 0.0)
    cycle: str = "shaft_rpm"
    tones: tuple[Tones, ...] = ()
    components: tuple[Component, ...] = ()


RECIPES: dict[str, Recipe] = {
    "fan": Recipe(
        cycle_hz=(22.0, 30.0),
        waver=0.002,
        slip=(0.02, 0.05),
        depth=(0.02, 0.08),
        speed_db=12.0,
        tone_load_db=4.0,
        noise_load_db=2.0,
        tones=(
            Tones(order=(1, 1), count=6, level_db=-14.0, fall_db=3.0),
            Tones(order=(5, 9), count=5, level_db=-5.0, fall_db=5.0),
        ),
        components=(
            Motor(pole_pairs=(2, 3), level_db=-16.0),
            Broadband((80.0, 200.0), (900.0, 1800.0), (-4.0, -2.0), level_db=-3.0, depth=(0.05, 0.15)),
        ),
    ),
    "pump": Recipe(
        cycle_hz=(28.0, 48.0),
        waver=0.003,
        slip=(0.02, 0.05),
        depth=(0.15, 0.35),
        speed_db=9.0,
        tone_load_db=6.0,
        noise_load_db=3.0,
        tones=(
            Tones(order=(1, 1), count=16, level_db=-4.0, fall_db=1.5, spread_db=5.0),
            Tones(order=(5, 7), count=4, level_db=-7.0, fall_db=4.0),
        ),
        components=(
            Broadband((600.0, 1200.0), (2500.0, 5000.0), (-2.0, 1.0), level_db=-8.0, depth=(0.2, 0.5)),
            Bubbles((2000.0, 3000.0), (5000.0, 7000.0), level_db=-14.0, speed_db=12.0),
        ),
    ),
    "valve": Recipe(
        cycle_hz=(0.9, 1.6),
        waver=0.01,
        depth=(0.0, 0.0),
        speed_db=3.0,
        tone_load_db=4.0,
        noise_load_db=3.0,
        cycle="switchings_per_minute",
        components=(
            Broadband((1500.0, 2500.0), (4500.0, 6500.0), (-1.0, 1.0), level_db=0.0, open_share=0.4),
            Broadband((80.0, 200.0), (2000.0, 4000.0), (-3.0, -1.0), level_db=0.0),
            Clicks(at=(0.0, 0.0), ring_hz=(900.0, 3200.0), decay_s=(0.008, 0.02), level_db=14.0),
            Clicks(at=(0.38, 0.42), ring_hz=(500.0, 1800.0), decay_s=(0.012, 0.03), level_db=11.0),
        ),
    ),
    "bearing": Recipe(
        cycle_hz=(18.0, 30.0),
        waver=0.003,
        depth=(0.05, 0.15),
        speed_db=9.0,
        tone_load_db=4.0,
        noise_load_db=2.0,
        tones=(Tones(order=(1, 1), count=8, level_db=-10.0, fall_db=2.5),),
        components=(
            Broadband((200.0, 500.0), (2000.0, 4000.0), (-3.0, -1.0), level_db=-3.0, depth=(0.05, 0.2)),
            RollingImpacts(
                balls=(7, 12),
                ratio=(0.38, 0.42),
                depth=(0.3, 0.7),
                ring_hz=(2500.0, 5500.0),
                decay_s=(0.001, 0.003),
                level_db=0.0,
            ),
        ),
    ),
    "motor": Recipe(
        cycle_hz=(23.0, 29.5),
        waver=0.001,
        slip=(0.02, 0.05),
        depth=(0.02, 0.08),
        speed_db=10.0,
        tone_load_db=5.0,
        noise_load_db=1.5,
        tones=(Tones(order=(1, 1), count=5, level_db=-10.0, fall_db=4.0),),
        components=(
            Motor(pole_pairs=(1, 2), level_db=-4.0, slots=(28, 44), slot_db=-10.0),
            Broadband((150.0, 400.0), (1500.0, 4000.0), (-3.0, -1.0), level_db=-6.0, depth=(0.0, 0.1)),
        ),
    ),
    "compressor": Recipe(
        cycle_hz=(8.0, 15.0),
        waver=0.004,
        slip=(0.02, 0.05),
        depth=(0.2, 0.4),
        speed_db=9.0,
        tone_load_db=6.0,
        noise_load_db=4.0,
        cycle="strokes_per_minute",
        tones=(Tones(order=(1, 1), count=30, level_db=-3.0, fall_db=0.8, spread_db=4.0),),
        components=(
            Motor(pole_pairs=(4, 6), level_db=-14.0),
            Broadband((300.0, 700.0), (3000.0, 6000.0), (-2.0, 0.0), level_db=0.0, open_share=0.35),
            Broadband((80.0, 200.0), (1500.0, 3000.0), (-3.0, -1.0), level_db=-10.0),
            Clicks(at=(0.0, 0.05), ring_hz=(600.0, 2400.0), decay_s=(0.004, 0.01), level_db=6.0),
            Clicks(at=(0.45, 0.55), ring_hz=(500.0, 2000.0), decay_s=(0.004, 0.01), level_db=4.0),
        ),
    ),
    "gearbox": Recipe(
        cycle_hz=(18.0, 28.0),
        waver=0.002,
        depth=(0.02, 0.1),
        speed_db=9.0,
        tone_load_db=6.0,
        noise_load_db=2.0,
        tones=(Tones(order=(1, 1), count=5, level_db=-12.0, fall_db=3.0),),
        components=(
            GearMesh(
                teeth=(19, 31),
                wheel=(1.4, 3.1),
                count=4,
                level_db=-4.0,
                fall_db=5.0,
                sideband_db=(8.0, 16.0),
                depth=(0.1, 0.3),
            ),
            Broadband((200.0, 500.0), (1500.0, 4000.0), (-3.0, -1.0), level_db=-5.0, depth=(0.05, 0.2)),
        ),
    ),
}
"""Machine types that can be synthesized, by their name in the contract."""


def recipe_of(machine_type: str) -> Recipe:
    """The recipe of a machine type; ``ParameterError`` if it cannot be synthesized."""
    try:
        return RECIPES[machine_type]
    except (KeyError, TypeError):
        known = ", ".join(RECIPES)
        raise ParameterError(
            f"machine type {machine_type!r} cannot be synthesized. Choose from: {known}."
        ) from None
