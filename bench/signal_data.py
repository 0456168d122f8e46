"""Real stator currents with shorts between turns, where a machine has them. They are never part of the project.

13 states of one motor, five recordings of each: three phases, 1,000 points at 1 kHz, on a 60 Hz supply.
``A2_B0_C0`` means 20 % of the turns of phase a shorted, ``HLT`` none. Beside the supply frequency the recordings
hold little: no harmonic stands out. Two things about them decide what a figure is worth:

- Where a recording was cut follows its state: shorts of phase a begin within 15 degrees of each other, and so do
  those of b and of c, elsewhere. Windows cut every 50 points all begin at that angle, and a score may then tell
  states by it. Strides that are no multiple of 50 avoid that.
- ``A1_B0_C0`` 2 and ``A0_B2_C0`` 2 look like healthy ones in amplitude, phase and sequence.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.real_data import VARIABLE, place

ROLES = "phase_a,phase_b,phase_c"
SAMPLE_RATE_HZ = 1000.0
MAINS_HZ = 60.0

_NAME = re.compile(r"(?:.*/)?SC_(HLT|A(\d)_B(\d)_C(\d))_(\d+)\.csv", re.IGNORECASE)
_FILE = Path("itsc-current") / "Cropped_Signals_SF.zip"


@dataclass(frozen=True)
class CurrentRecording:
    """One recording.

    ``values`` are the phases (3, n) in amperes; ``level`` the share of shorted turns in percent, 0 for a healthy
    motor; ``phase`` the role of the phase with the short, empty for none; ``number`` counts from 1 in each state.
    """

    state: str
    number: int
    level: int
    phase: str
    values: npt.NDArray[np.float32]

    @property
    def name(self) -> str:
        """State and number."""
        return f"{self.state}_{self.number:03d}"


def stator_currents() -> Path | None:
    """The archive of the recordings, or ``None`` where it is not."""
    path = place() / _FILE
    return path if path.is_file() else None


def absent() -> str:
    """What to say where it is not."""
    return f"no real stator currents at {place() / _FILE} (set {VARIABLE} to the folder that holds it)"


def read_currents(archive: Path) -> list[CurrentRecording]:
    """All recordings of the archive by state and number; copies that macOS made beside them are passed over."""
    found = []
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            match = _NAME.fullmatch(name)
            if not match or name.startswith("__MACOSX"):
                continue
            table = np.loadtxt(io.StringIO(opened.read(name).decode()), delimiter=",", dtype=np.float32, ndmin=2)
            turns = [int(digit) for digit in match.groups()[1:4] if digit]
            level = max(turns, default=0)
            found.append(
                CurrentRecording(
                    state=match[1].upper(),
                    number=int(match[5]),
                    level=10 * level,
                    phase=ROLES.split(",")[turns.index(level)] if level else "",
                    values=np.ascontiguousarray(table.T),
                )
            )
    return sorted(found, key=lambda recording: (recording.level, recording.state, recording.number))
