from __future__ import annotations

import pytest

from alp_assets.errors import ParameterError
from alp_assets.synth.recipes import RECIPES
from alp_assets.synth.spec import FULL_SHAPE, SynthSpec, scaled, spec_from


def counts(spec: SynthSpec) -> dict[str, int]:
    return {
        "source": spec.source_normals,
        "target": spec.target_normals,
        "test": 2 * (spec.test_normals + spec.test_anomalies),
        "supplemental": spec.noise_only + spec.clean_machine,
    }


def test_the_full_shape_is_that_of_dcase_for_every_type():
    assert counts(FULL_SHAPE) == {"source": 990, "target": 10, "test": 200, "supplemental": 100}
    assert FULL_SHAPE.test_normals == FULL_SHAPE.test_anomalies == 50
    assert FULL_SHAPE.noise_only == FULL_SHAPE.clean_machine == 50
    assert FULL_SHAPE.machines == tuple(RECIPES)
    assert FULL_SHAPE.recordings == 7 * 1300


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (1.0, (990, 10, 200, 100)),
        (0.5, (495, 5, 100, 50)),
        (0.1, (99, 3, 20, 10)),
        (0.05, (50, 3, 20, 4)),
        (0.001, (3, 3, 20, 4)),
        (2.0, (1980, 20, 400, 200)),
    ],
)
def test_scale_shrinks_but_leaves_what_makes_a_section_worth_having(scale, expected):
    assert tuple(counts(scaled(FULL_SHAPE, scale)).values()) == expected


def test_scale_keeps_everything_else():
    spec = SynthSpec(("valve",), 3, seed=8, duration_s=4.0, sample_rate_hz=8000, channels=2)
    smaller = scaled(spec, 0.1)
    assert (smaller.machines, smaller.sections_per_machine, smaller.seed) == (("valve",), 3, 8)
    assert (smaller.duration_s, smaller.sample_rate_hz, smaller.channels) == (4.0, 8000, 2)


def test_scale_raises_no_count_that_was_below_the_least():
    few = SynthSpec(
        source_normals=0, target_normals=1, test_normals=2, test_anomalies=0, noise_only=1, clean_machine=0
    )
    assert scaled(few, 0.1) == few


@pytest.mark.parametrize("scale", [0.0, -1.0, 10.5, float("nan"), float("inf")])
def test_a_scale_that_cannot_be_used_is_refused(scale):
    with pytest.raises(ParameterError, match=r"scale: .* cannot be used\. It must be above 0"):
        scaled(FULL_SHAPE, scale)


def test_what_a_mapping_leaves_out_is_as_in_the_base():
    assert spec_from({}) == FULL_SHAPE
    assert spec_from({"seed": 4}, SynthSpec()) == SynthSpec(seed=4)
    assert spec_from({"machines": ["fan"]}).machines == ("fan",)


def test_an_unknown_parameter_is_refused_and_those_there_are_are_named():
    with pytest.raises(ParameterError, match=r"no such parameter: normals, speed\. There are machines, "):
        spec_from({"speed": 1, "normals": 3})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"machines": ("fan", "toaster")}, r"'toaster'.*fan, pump, valve"),
        ({"machines": ()}, "at least one machine type"),
        ({"machines": "fan"}, "as a list"),
        ({"machines": 3}, "as a list"),
        ({"machines": [["fan"]]}, "cannot be synthesized"),
        ({"machines": ("fan", "fan")}, "twice"),
        ({"source_normals": 0, "target_normals": 0}, "source_normals and target_normals are both 0"),
        ({"source_normals": -1}, "source_normals: -1 cannot be used. It must be at least 0"),
        ({"sections_per_machine": 0}, "sections_per_machine: 0 .* between 1 and 100"),
        ({"test_normals": 2.5}, "test_normals: 2.5 is not a whole number"),
        ({"noise_only": True}, "noise_only: True is not a whole number"),
        ({"clean_machine": "many"}, "clean_machine: 'many' is not a whole number"),
        ({"seed": -3}, "seed: -3"),
        ({"duration_s": 0.5}, "duration_s: 0.5 is not between 1 and"),
        ({"duration_s": float("nan")}, "duration_s: nan"),
        ({"duration_s": "ten"}, "'ten' is not a number of seconds"),
        ({"duration_s": 10_000.0}, "duration_s: 10000 is not between 1 and 1250 s"),
        ({"sample_rate_hz": 4000}, "sample_rate_hz: 4000 .* between 8000 and 192000"),
        ({"channels": 9}, "channels: 9 .* between 1 and 8"),
    ],
)
def test_values_that_cannot_be_used_are_refused_by_name(changes, text):
    with pytest.raises(ParameterError, match=text):
        SynthSpec(**changes)


def test_a_list_of_machines_as_parameter_files_hold_it_is_the_same_spec():
    assert SynthSpec(machines=["fan", "pump"]) == SynthSpec()  # type: ignore[arg-type]


def test_only_target_normals_are_enough():
    assert SynthSpec(source_normals=0, target_normals=1).recordings == 2 * 43
