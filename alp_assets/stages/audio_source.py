"""Opening the recordings of a package that still lie in its zip."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from alp_assets.audio.decode import Recording, decoded
from alp_assets.errors import DecodingStopped
from alp_assets.params import QualityParams

if TYPE_CHECKING:
    from alp_assets.intake.archive import PackageArchive

_IN_MEMORY = 32 << 20


@contextmanager
def opened(archive: PackageArchive, file: str, scratch: Path, limits: QualityParams) -> Iterator[Recording]:
    """Open one recording of sound, in a decoder's process.

    ``AudioUnreadable`` when the zip's entry is damaged or is no audio, or decoding was stopped.
    """
    try:
        with streamed(archive, file, scratch) as stream, decoded(stream, limits) as recording:
            yield recording
    except DecodingStopped as error:
        raise DecodingStopped(error.problem, file) from error


@contextmanager
def streamed(archive: PackageArchive, file: str, scratch: Path) -> Iterator[BinaryIO]:
    """The bytes of one recording. Small ones are held in memory, large ones in a file under ``scratch``.

    ``AudioUnreadable`` when the zip's entry is damaged.
    """
    if archive.files[file].size <= _IN_MEMORY:
        yield io.BytesIO(archive.read(file))
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".unpacked.") as place:
        target = Path(place) / "recording"
        archive.extract(file, target)
        with target.open("rb") as stream:
            yield stream
