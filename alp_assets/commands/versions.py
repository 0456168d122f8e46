"""``alp init``, ``snapshot``, ``history`` and ``diff``: versions of packages and models, made and looked at."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.errors import AlpError, VersionRefused

if TYPE_CHECKING:
    from alp_assets.terminal import Terminal
    from alp_assets.versions.compare import Change, Difference
    from alp_assets.versions.history import ModelVersion, PackageVersion
    from schemas.sections import Section

_INCOMPLETE = 1
_SHOWN_CLIPS = 20

VersionArgument = Annotated[
    str,
    typer.Argument(
        help="customer/package@REV: a revision that `alp history` shows, or a day (2026-03-31).",
        metavar="PACKAGE@REV",
    ),
]


def init(
    folder: Annotated[Path, typer.Argument(help="The data root.", metavar="DIR")],
    remote: Annotated[
        str | None,
        typer.Option(help="Where DVC stores versions as well: a folder, ssh://host/path or s3://bucket/path."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data root a git and DVC repository of its own, or give it another remote."""
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal
    from alp_assets.versions.repository import make_repository

    terminal = Terminal(quiet=as_json)
    if remote is not None and not remote.strip():
        raise VersionRefused("--remote names no place. Give a folder or an address, or leave it out.")
    root = open_root(folder)
    made = make_repository(root, remote or "")
    if as_json:
        print_json({"data_root": root, "repository": made.root, "own": made.own, "remote": remote})
    elif made.own:
        stored = f", versions stored in {remote}" if remote else ""
        terminal.say(f"{root}: a repository of its own{stored}. Use it with --data {root} or ALP_DATA={root}.")
    else:
        terminal.say(f"{root}: is versioned in the repository {made.root}, where commits are yours to make.")


def snapshot(
    packages: Annotated[
        list[str] | None, typer.Argument(help="By default all that wait.", metavar="[PACKAGE]...")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Version packages, and what waits since a snapshot or push failed. Exit code 1 when something still does."""
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal
    from alp_assets.versions.revisions import package_of
    from alp_assets.versions.snapshot import snapshot_all

    root, terminal = open_root(data), Terminal(quiet=as_json)
    found = snapshot_all(root, [package_of(root, name) for name in packages or ()], load_params(root))
    if as_json:
        answers = {key: asdict(answer) for key, answer in found.packages.items()}
        print_json(answers | {"copied": found.copied, "filled": found.filled, "problem": found.problem})
    for key, answer in found.packages.items():
        name = key.replace("__", "/", 1)
        if answer.taken:
            pushed = ", copied to the remote" if key in found.copied else ""
            terminal.say(f"{name}: {answer.content_hash}{pushed}, {answer.revision[:10] or 'not committed'}")
        else:
            terminal.error(answer.problem)
    if before := [key for key in found.copied if key not in found.packages]:
        names = ", ".join(key.replace("__", "/", 1) for key in before)
        terminal.say(f"Copied to the remote, versioned before: {names}")
    if found.filled:
        terminal.say(f"Copied all that there is to a new remote: {', '.join(found.filled)}")
    if not (found.packages or found.copied or found.filled or found.problem):
        terminal.say("Nothing waits.")
    if found.problem:
        terminal.error(found.problem)
    if found.problem or not all(answer.taken for answer in found.packages.values()):
        raise typer.Exit(_INCOMPLETE)


def history(
    of: Annotated[
        str,
        typer.Argument(help="customer/package, or customer/machine_type/section_id.", metavar="PACKAGE|SECTION"),
    ],
    most: Annotated[int, typer.Option("--most", min=1, help="Versions to show of a package.")] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the versions of a package or of a section's models: when, why, and what changed."""
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal
    from alp_assets.versions.history import package_history, section_history
    from alp_assets.versions.repository import repository_of
    from alp_assets.versions.revisions import package_of, split_name

    root, terminal = open_root(data), Terminal(quiet=as_json)
    versions: list[PackageVersion] | list[ModelVersion]
    of = of.rstrip("/")
    section, revision = split_section(root, of) if names_section(of) else (None, split_name(of)[1])
    if revision:
        raise VersionRefused(f"{of}: history shows all versions; leave out what follows the @.")
    if section:
        versions = section_history(repository_of(root), section)
    else:
        versions = package_history(package_of(root, of), most)
    if as_json:
        print_json([asdict(item) for item in versions])
        return
    columns = ("revision", "when", "what", "AUC", "changed")
    rows = [[*_when(item), item.figures.get("auc"), _told(item)] for item in versions]
    terminal.table(of, columns, rows)


def diff(
    before: VersionArgument,
    after: Annotated[
        str, typer.Argument(help="The later revision; by default what lies there now.", metavar="[REV2]")
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions of a package: parameters, clips, scores, verdicts, thresholds."""
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal
    from alp_assets.versions.compare import differences
    from alp_assets.versions.contents import contents_of, present
    from alp_assets.versions.repository import repository_of
    from alp_assets.versions.revisions import find_revision, package_of, split_name
    from alp_assets.versions.store import opened

    root, terminal = open_root(data), Terminal(quiet=as_json)
    name, first = split_name(before)
    other, second = split_name(after) if "@" in after else (name, after)
    if other != name:
        raise VersionRefused(f"{after}: only versions of one package can be compared, not {name} with {other}.")
    folder, repository = package_of(root, name), repository_of(root)
    with opened(repository) as store:
        old = contents_of(store, find_revision(repository, folder, first))
        new = contents_of(store, find_revision(repository, folder, second)) if second else present(folder)
        found = differences(old, new)
    if as_json:
        print_json(asdict(found))
    else:
        _show(found, name, terminal)


def section_of(text: str) -> Section:
    """The section of ``customer/machine_type/section_id``."""
    from schemas.sections import Section

    try:
        return Section.parse(text)
    except ValueError as error:
        raise AlpError(str(error)) from error


def names_section(text: str) -> bool:
    """Whether it is a section's name, with or without a revision, and not a package's."""
    return text.partition("@")[0].count("/") > 1


def split_section(root: Path, text: str) -> tuple[Section, str]:
    """``customer/machine_type/section_id@REV`` in two; without a revision that is empty.

    An id may hold an @ itself: where a section of the whole name has models, that is meant.
    """
    from alp_assets.registry.registry import Registry

    if "@" not in text or Registry(root).versions(section_of(text)):
        return section_of(text), ""
    name, _, revision = text.rpartition("@")
    return section_of(name), revision


def print_json(value: Any) -> None:
    """JSON for scripts."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _when(item: PackageVersion | ModelVersion) -> list[str]:
    from alp_assets.commands.lines import local_time

    return [item.revision, local_time(item.at), _what(item)]


def _what(item: PackageVersion | ModelVersion) -> str:
    from alp_assets.versions.history import ModelVersion

    if not isinstance(item, ModelVersion):
        return item.message
    reigns = [f"champion {span(reign.since, reign.until)}" for reign in item.reigns]
    return "\n".join([f"{item.name} ({item.state}): {item.message}", *reigns])


def span(since: str, until: str) -> str:
    """A time in words; one without an end goes on."""
    from alp_assets.commands.lines import local_time

    return f"from {local_time(since)} to {local_time(until)}" if until else f"since {local_time(since)}"


def _told(item: PackageVersion | ModelVersion) -> str:
    if problem := getattr(item, "problem", ""):
        return problem
    lines = [f"{name}: {_from_to(change)}" for name, change in {**item.parameters, **item.changed}.items()]
    if count := getattr(item, "rescored", 0):
        lines.append(f"{count:,} clips with another score or threshold")
    return "\n".join(lines)


def _from_to(change: Change) -> str:
    return f"{_value(change.before)} -> {_value(change.after)}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def _show(found: Difference, name: str, terminal: Terminal) -> None:
    if not found:
        terminal.say(f"{name}: {found.before} and {found.after} are the same.")
        return
    between = (found.before, found.after)
    if found.parameters:
        rows = [[key, _value(item.before), _value(item.after)] for key, item in found.parameters.items()]
        terminal.table("Parameters", ("", *between), rows)
    rows = [
        [section, key.replace("_", " "), _value(item.before), _value(item.after)]
        for section, figures in found.sections.items()
        for key, item in figures.items()
    ]
    if rows:
        terminal.table("Sections", ("section", "", *between), rows)
    for text, clips in (("added", found.added), ("removed", found.removed), ("other audio", found.audio)):
        if clips:
            more = f" and {len(clips) - _SHOWN_CLIPS:,} more" if len(clips) > _SHOWN_CLIPS else ""
            terminal.say(f"Clips, {text}: {', '.join(clips[:_SHOWN_CLIPS])}{more}")
    _show_scores(found, terminal)


def _show_scores(found: Difference, terminal: Terminal) -> None:
    terminal.say(
        f"Scores: {len(found.scores):,} of {found.compared:,} clips that both scored have other scores or "
        f"thresholds; {sum(item.turned for item in found.scores):,} have another verdict."
    )
    shown = found.scores[:_SHOWN_CLIPS]
    rows = [
        [item.clip_id, item.section, item.score.before, item.score.after, _from_to(item.decision)]
        if item.turned
        else [item.clip_id, item.section, item.score.before, item.score.after, item.decision.after]
        for item in shown
    ]
    if rows:
        terminal.table("Clips", ("clip", "section", found.before, found.after, "verdict"), rows)
    if len(found.scores) > len(shown):
        terminal.say(f"and {len(found.scores) - len(shown):,} more; --json has them all")
