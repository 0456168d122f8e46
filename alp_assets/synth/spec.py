"""How large a synthetic customer is, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from alp_assets.errors import ParameterError
from alp_assets.synth.recipes import RECIPES, recipe_of

_MOST_SAMPLES = 20_000_000
_LARGEST_SCALE = 10.0

_LEAST = {
    "source_normals": 3,
    "target_normals": 3,
    "test_normals": 5,
    "test_anomalies": 5,
    "noise_only": 2,
    "clean_machine": 2,
}

_LIMITS = (
    ("sections_per_machine", 1, 100),
    ("source_normals", 0, None),
    ("target_normals", 0, None),
    ("test_normals", 0, None),
    ("test_anomalies", 0, None),
    ("noise_only", 0, None),
    ("clean_machine", 0, None),
    ("seed", 0, None),
    ("sample_rate_hz", 8_000, 192_000),
    ("channels", 1, 8),
)


@dataclass(frozen=True)
class SynthSpec:
    """What the customer sends. Counts of recordings are per section.

    Args:
        machines: machine types, see ``recipes.RECIPES``.
        sections_per_machine: physical machines of each type.
        source_normals: normal recordings to learn from, source domain.
        target_normals: normal recordings to learn from, target domain.
        test_normals: normal test recordings in each domain.
        test_anomalies: anomalous test recordings in each domain; the kinds take turns.
        noise_only: recordings of the surroundings alone, the domains in turn.
        clean_machine: recordings of the machine without its surroundings, the domains in turn.
        seed: another seed is another customer.
        duration_s: length of each recording, at least one second.
        sample_rate_hz: samples per second, 8000 to 192000.
        channels: 1 to 8; each channel is a microphone position of its own, the first as in the table.

    Raises:
        ParameterError: a value that cannot be used; the text names it.
    """

    machines: tuple[str, ...] = ("fan", "pump")
    sections_per_machine: int = 1
    source_normals: int = 20
    target_normals: int = 10
    test_normals: int = 10
    test_anomalies: int = 10
    noise_only: int = 2
    clean_machine: int = 0
    seed: int = 0
    duration_s: float = 10.0
    sample_rate_hz: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.machines, list | tuple) or not self.machines:
            raise ParameterError("machines: give at least one machine type, as a list.")
        object.__setattr__(self, "machines", tuple(self.machines))
        for machine_type in self.machines:
            recipe_of(machine_type)
        if len(set(self.machines)) < len(self.machines):
            raise ParameterError(f"machines: {', '.join(self.machines)} names a type twice. Name each once.")
        for name, lowest, highest in _LIMITS:
            _check_whole(name, getattr(self, name), lowest, highest)
        if self.source_normals + self.target_normals < 1:
            raise ParameterError(
                "source_normals and target_normals are both 0, so there is nothing to learn from. "
                "Ask for at least one normal recording."
            )
        if isinstance(self.duration_s, bool) or not isinstance(self.duration_s, (int, float)):
            raise ParameterError(f"duration_s: {self.duration_s!r} is not a number of seconds.")
        if not 1.0 <= self.duration_s <= _MOST_SAMPLES / (self.sample_rate_hz * self.channels):
            longest = _MOST_SAMPLES // (self.sample_rate_hz * self.channels)
            raise ParameterError(
                f"duration_s: {self.duration_s:g} is not between 1 and {longest} s, which is what "
                f"{self.sample_rate_hz} Hz and {self.channels} channel(s) allow."
            )

    @property
    def samples(self) -> int:
        """Samples per channel of a recording."""
        return round(self.duration_s * self.sample_rate_hz)

    @property
    def sections(self) -> int:
        """Physical machines of all types."""
        return len(self.machines) * self.sections_per_machine

    @property
    def recordings(self) -> int:
        """Recordings of the whole customer."""
        learned = self.source_normals + self.target_normals
        tested = 2 * (self.test_normals + self.test_anomalies)
        return self.sections * (learned + tested + self.noise_only + self.clean_machine)


def _check_whole(name: str, value: object, lowest: int, highest: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(f"{name}: {value!r} is not a whole number.")
    if value < lowest or (highest is not None and value > highest):
        span = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ParameterError(f"{name}: {value} cannot be used. It must be {span}.")


FULL_SHAPE = SynthSpec(
    machines=tuple(RECIPES),
    source_normals=990,
    target_normals=10,
    test_normals=50,
    test_anomalies=50,
    noise_only=50,
    clean_machine=50,
)
"""Every machine type, each in the shape of DCASE Task 2."""


def spec_from(values: Mapping[str, Any], base: SynthSpec = FULL_SHAPE) -> SynthSpec:
    """``base`` with the values of a mapping, as parameter files hold it.

    Raises:
        ParameterError: a name that is not known, or a value that cannot be used.
    """
    known = [item.name for item in fields(SynthSpec)]
    if unknown := sorted(set(values) - set(known)):
        raise ParameterError(f"synth: no such parameter: {', '.join(unknown)}. There are {', '.join(known)}.")
    return replace(base, **values)


def scaled(spec: SynthSpec, scale: float) -> SynthSpec:
    """The spec with ``scale`` times as many recordings of every purpose.

    No count falls below what makes a section worth having, nor rises to it: 3 normals of each domain to learn
    from, 5 test recordings for each domain and label, so that every kind of anomaly occurs, and 2 of each kind
    of supplement. 0.05 makes 50 source and 3 target normals and 20 test recordings of the full shape.

    Raises:
        ParameterError: ``scale`` is not above 0 and at most 10.
    """
    if not 0.0 < scale <= _LARGEST_SCALE:
        raise ParameterError(
            f"scale: {scale:g} cannot be used. It must be above 0 and at most {_LARGEST_SCALE:g}."
        )
    counts = {name: getattr(spec, name) for name in _LEAST}
    return replace(
        spec,
        **{name: max(round(scale * count), min(_LEAST[name], count)) for name, count in counts.items()},
    )
