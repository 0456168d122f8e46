"""The errors that ALP raises on purpose. Their text names the file or row, what is wrong, what to do."""

from __future__ import annotations

from schemas.problems import Problem


class AlpError(Exception):
    """Base of every error that a user may meet."""


class ParameterError(AlpError):
    """A parameter file or option that cannot be used."""


class NameRefused(AlpError):
    """A customer or package name that is not a slug."""


class UploadConflict(AlpError):
    """Other bytes arrived under the name of a package that is already here."""


class PackageBusy(AlpError):
    """Another process is working on this package."""


class StageMissing(AlpError):
    """A stage was asked for before the stages it reads."""


class StageDamaged(AlpError):
    """A stage's folder that is not as it was written. The text names the file and the stage to run again."""


class DiskRefused(AlpError):
    """A disk that is full or read-only. Nothing half-finished is kept."""


class StoreFailed(AlpError):
    """The bucket behind a data root cannot be reached or used."""


class GateFailed(AlpError):
    """A stage refuses to work on a package that failed an earlier gate."""


class ArchiveRefused(AlpError):
    """A zip that is damaged or dangerous. ``problems`` says how, one finding each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class TableRefused(AlpError):
    """A metadata table that cannot be read at all. ``problems`` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class AudioUnreadable(AlpError):
    """A recording that cannot be decoded."""


class MemoryExceeded(AlpError):
    """A run that needs more memory than it may take."""

    def __init__(self, what: str, most_mb: int, why: str = "") -> None:
        super().__init__(
            f"{what}: needs more memory than the {most_mb:,} MB that a run may take"
            f"{f' ({why})' if why else ''}. Raise run.max_memory_mb, use fewer threads (run.workers), or send the "
            "package in parts. Other runs are not concerned."
        )


class DecodingStopped(AudioUnreadable):
    """A recording whose decoding took too long or too much memory, or broke. ``problem`` says which."""

    def __init__(self, problem: Problem, name: str = "") -> None:
        super().__init__(f"{name}: {' '.join(problem.told('en'))}" if name else " ".join(problem.told("en")))
        self.problem = problem


class EngineUnfit(AlpError):
    """An engine cannot learn from what a section has. The text says what is missing."""


class TooFewNormals(EngineUnfit):
    """A section with fewer normal clips than its engine needs."""


class WeightsMissing(AlpError):
    """An encoder's weights are not at hand, or cannot be used. The text says how to get them."""


class ModelCorrupt(AlpError):
    """A model folder that does not match its checksums or its card."""


class ModelUnsuited(AlpError):
    """A whole model that cannot score what a package has."""


class SnapshotFailed(AlpError):
    """DVC could not take a snapshot. The package itself is finished and whole."""


class VersionRefused(AlpError):
    """A version that cannot be found, read, brought back or given up. The text says why, and what to do."""
