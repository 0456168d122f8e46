"""The machine types that ALP knows. A new type is one more entry here, its guidance in ``texts/form.*.toml``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MachineType:
    """A kind of machine: its name in tables and folders, and other words that people write for it."""

    name: str
    aliases: tuple[str, ...] = ()


MACHINE_TYPES = (
    MachineType("fan", ("팬", "송풍기", "fans", "blower")),
    MachineType("pump", ("펌프", "pumps")),
    MachineType("valve", ("밸브", "valves")),
    MachineType("bearing", ("베어링", "bearings")),
    MachineType("motor", ("모터", "전동기", "motors")),
    MachineType("compressor", ("압축기", "컴프레서", "컴프레셔", "compressors")),
    MachineType("gearbox", ("기어박스", "감속기", "gear", "gears", "gearboxes")),
)

MACHINE_TYPE_NAMES = tuple(machine.name for machine in MACHINE_TYPES)
