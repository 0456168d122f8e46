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
