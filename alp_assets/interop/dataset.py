"""A public data set as it lies on disk: its recordings, what is known of each, and what fits no rule."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from alp_assets.audio.decode import open_recording
from alp_assets.errors import AlpError, AudioUnreadable
from alp_assets.progress import Progress

_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True)
class Finding:
    """What is worth knowing of a file (its path below the folder that was given), and whether it is left out."""

    file: str
    problem: str
    remedy: str
    left_out: bool = False
    row: int | None = None

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{place}: {self.problem} {self.remedy}"


@dataclass(frozen=True)
class Recording:
    """One recording of a data set. Texts are empty where the set does not tell.

    Args:
        source: the file.
        machine: kind of machine, as the set calls it.
        section: which machine of that kind, as the set numbers it.
        place: folder below the machine's that the file keeps in the package, such as ``train``.
        split, domain, label, supp_type: as in the contract.
        attributes: conditions under the set's own names.
        snr_db: decibels as text.
        channels: how many the file has; 0 before anybody looked.
    """

    source: Path
    machine: str
    section: str
    place: str
    split: str
    domain: str = ""
    label: str = "unknown"
    supp_type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    snr_db: str = ""
    channels: int = 0


@dataclass(frozen=True)
class DataSet:
    """What a folder holds.

    Args:
        name: of the set, for people.
        published: the day that stands for the times of recording, ISO 8601; the sets tell none.
        recordings: in the order of their machines, sections and paths.
        findings: files that are left out, and what else is worth knowing, by file.
        microphones: what the channels of a file are, first to last, where the set tells.
    """

    name: str
    published: str
    recordings: tuple[Recording, ...]
    findings: tuple[Finding, ...] = ()
    microphones: tuple[str, ...] = ()

    @property
    def machines(self) -> list[str]:
        """The kinds of machine, sorted."""
        return sorted({recording.machine for recording in self.recordings})

    def only(self, machines: Iterable[str] = (), sections: Iterable[str] = ()) -> DataSet:
        """The part of some machines and sections; empty means all.

        Raises:
            AlpError: there is no such machine or section.
        """
        kept = _chosen(self.recordings, "machine", set(machines))
        return replace(self, recordings=tuple(_chosen(kept, "section", set(sections))))


def files_below(root: Path) -> Iterator[Path]:
    """Every file below a folder in the order of paths, through links, without what systems leave lying about.

    Raises:
        AlpError: it is no folder, or one in it cannot be read.
    """
    if not root.is_dir():
        what = "this is a file; unpack it and give the folder" if root.exists() else "no such folder"
        raise AlpError(f"{root}: {what}.")
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        for name in sorted(names):
            if not _is_junk(name):
                yield Path(folder, name)


def is_recording(path: Path) -> bool:
    """Whether a file is named as the recordings of these sets are."""
    return path.suffix.lower() == ".wav"


def distinct(recordings: Iterable[Recording], root: Path, findings: list[Finding]) -> list[Recording]:
    """The recordings without those that would lie in another's place in the package; these become findings."""
    first: dict[tuple[str, str, str], Recording] = {}
    for recording in recordings:
        other = first.setdefault((recording.machine, recording.place, recording.source.name.lower()), recording)
        if other is not recording:
            problem = f"{shown(other.source, root)} has the same machine, folder and name, and is taken."
            remedy = "Give the two folders one at a time, or rename one machine's folder."
            findings.append(left_out(recording.source, root, problem, remedy))
    return list(first.values())


def heard(recordings: list[Recording], root: Path, findings: list[Finding], progress: Progress) -> list[Recording]:
    """The recordings that can be opened, with their channels; those that cannot become findings.

    Raises:
        AlpError: none can.
    """
    good = []
    for done, recording in enumerate(recordings, 1):
        try:
            with recording.source.open("rb") as stream, open_recording(stream) as opened:
                good.append(replace(recording, channels=opened.info.channels))
        except (AudioUnreadable, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"It cannot be opened: {reason}."
            findings.append(left_out(recording.source, root, text, "Unpack it again."))
        progress(done, len(recordings), "recordings looked at")
    if not good:
        raise AlpError(f"{root}: none of its {len(recordings)} recordings can be opened. Last: {findings[-1]}")
    return good


def in_order(
    name: str,
    published: str,
    recordings: Iterable[Recording],
    findings: Iterable[Finding],
    microphones: tuple[str, ...] = (),
) -> DataSet:
    """A data set with its recordings and findings in the order that packages and people want."""
    return DataSet(
        name,
        published,
        tuple(sorted(recordings, key=lambda item: (item.machine, item.section, item.place, item.source.name))),
        tuple(sorted(findings, key=lambda finding: (finding.file, finding.row or 0))),
        microphones,
    )


def nothing_found(root: Path, what: str, findings: list[Finding]) -> AlpError:
    """The error of a folder in which no file fits a rule."""
    why = f"{len(findings)} files fit no rule; first: {findings[0]}" if findings else "It is empty."
    return AlpError(f"{root}: holds no recordings of {what}. {why}")


def left_out(path: Path, root: Path, problem: str, remedy: str) -> Finding:
    """The finding of a file that is not taken over."""
    return Finding(shown(path, root), problem, remedy, left_out=True)


def shown(path: Path, root: Path) -> str:
    """A path as people know it: from the folder that they gave."""
    return path.relative_to(root).as_posix()


def _chosen(recordings: Iterable[Recording], what: str, wanted: set[str]) -> list[Recording]:
    found = list(recordings)
    there = {str(getattr(recording, what)) for recording in found}
    if missing := sorted(wanted - there):
        raise AlpError(f"no {what} {', '.join(missing)} in this folder; there are {', '.join(sorted(there))}.")
    return [recording for recording in found if not wanted or getattr(recording, what) in wanted]


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _refuse(error: OSError) -> None:
    raise AlpError(f"{error.filename}: cannot be read ({error.strerror}).")
