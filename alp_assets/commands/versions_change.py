"""``alp restore``, ``retire``, ``reproduce``, ``gc`` and ``prune``: versions brought back, proven and given up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alp_assets.commands.options import DataOption, JsonOption
from alp_assets.commands.versions import VersionArgument, names_section, print_json, span, split_section
from alp_assets.errors import VersionRefused
from alp_assets.stages.summary import counted

if TYPE_CHECKING:
    from alp_assets.terminal import Terminal
    from schemas.sections import Section

_DIFFERENT = 1
_DECLINED = 1

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


def restore(
    version: Annotated[
        str,
        typer.Argument(
            help="customer/package@REV, by default its latest version; or a section: the files of its models, or "
            "of the one that was its champion on a day, at a time or at a commit.",
            metavar="PACKAGE@REV|SECTION@REV",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also where what lies there was never versioned; that is lost.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a package back as it was, or the files of a section's models. The registry stays as it is."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    from alp_assets.assets.events import refuse_running
    from alp_assets.assets.instance import open_instance
    from alp_assets.commands.lines import local_time
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal
    from alp_assets.versions.restore import restore as bring_back
    from alp_assets.versions.revisions import package_of, split_name

    root, terminal = open_root(data), Terminal(quiet=as_json)
    if names_section(version):
        _restore_models(root, *split_section(root, version), terminal, as_json=as_json)
        return
    name, revision = split_name(version)
    folder = package_of(root, name)
    if folder.path.is_dir():
        with open_instance(root) as instance:
            refuse_running(instance, folder.key)  # it would go on with what is brought back
    done = bring_back(folder, revision, load_params(root), force=force)
    if as_json:
        print_json(asdict(done))
        return
    what = "is as it was at" if done.changed else "is already as it was at"
    when = f" of {local_time(done.at)}" if done.at else ""
    terminal.say(f"{name}: {what} {done.version}{when}.")
    for note in done.notes:
        terminal.say(note)


def retire(
    package: Annotated[str, typer.Argument(help="customer/package", metavar="PACKAGE")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also when a model of it is in force, which stays; and when it is gone for good, from a bucket "
            "that keeps no versions.",
        ),
    ] = False,
    yes: YesOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a package up: files, partition and events go, models are archived, and history brings it back."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    from alp_assets.assets.events import forget_package, refuse_running, remembers
    from alp_assets.assets.instance import open_instance
    from alp_assets.home import object_url, open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal
    from alp_assets.versions.retire import refuse_unknown
    from alp_assets.versions.retire import retire as give_up
    from alp_assets.versions.revisions import package_of

    root, terminal = open_root(data), Terminal(quiet=as_json)
    folder = package_of(root, package)
    where = object_url(root) or root
    with open_instance(root) as instance:
        if not remembers(instance, folder.key):
            refuse_unknown(folder)
        _ask(f"Retire {folder.customer}/{folder.package} in {where}?", yes=yes, as_json=as_json)
        refuse_running(instance, folder.key)
        done = give_up(folder, load_params(root), os.environ.get("USER") or "alp", force=force)
        runs = forget_package(instance, folder.key)
    if as_json:
        print_json({**asdict(done), "runs": runs})
        return
    terminal.say(f"{package}: retired; Dagster has forgotten {counted(runs, 'run')} of it.")
    if done.archived:
        terminal.say(f"Archived: {', '.join(done.archived)}")
    if done.in_force:
        terminal.say(f"Still in force: {', '.join(done.in_force)}")
    for note in done.notes:
        terminal.say(note)
    terminal.say(done.way_back)


def reproduce(version: VersionArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make a version's scores again from its upload. Exit code 1 when they are not the same byte for byte."""
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal
    from alp_assets.versions.reproduce import reproduce as make_again
    from alp_assets.versions.revisions import package_of, split_name

    root, terminal = open_root(data), Terminal(quiet=as_json)
    name, revision = split_name(version)
    with terminal.working():
        done = make_again(package_of(root, name), revision, load_params(root), terminal.told, terminal.progress)
    if as_json:
        sections = [{**vars(item), "identical": item.identical} for item in done.sections]
        print_json({**asdict(done), "sections": sections})
    else:
        columns = ("section", "clips", "identical", "with another score", "largest difference", "missing", "added")
        rows = [
            [
                item.section,
                item.clips,
                "yes" if item.identical else "no",
                item.differing,
                f"{item.largest:.3g}",
                item.missing,
                item.added,
            ]
            for item in done.sections
        ]
        terminal.table(f"{name}@{done.version}", columns, rows)
        for note in done.notes:
            terminal.say(note)
        if done.made_by not in ("", done.code):
            terminal.say(f"It was made by ALP {done.made_by}; this is {done.code}.")
        terminal.say("Identical: scores.csv is the same byte for byte." if done.identical else "Not identical.")
    if not done.identical:
        raise typer.Exit(_DIFFERENT)


def gc(
    dry_run: DryRunOption = False,
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, max=36_500, help="Versions older than this need not be kept; by default all are."),
    ] = None,
    remote: Annotated[
        bool | None,
        typer.Option(
            "--remote/--no-remote",
            help="The remote as well: only where no other repository stores there. By default only "
            "--dry-run looks at it.",
        ),
    ] = None,
    yes: YesOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what DVC's cache and remote hold and no version needs."""
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.terminal import Terminal
    from alp_assets.versions.repository import repository_of
    from alp_assets.versions.unused import find_unused, remove_unused

    root, terminal = open_root(data), Terminal(quiet=as_json)
    repository = repository_of(root)
    remote = dry_run if remote is None else remote
    found = find_unused(repository, keep_days=keep_days, remote=remote)
    told = f"{_amount(found.cache)} in the cache and {_amount(found.remote)} in the remote"
    if not dry_run and (found.cache or found.remote):
        _ask(f"{repository.root}: remove {told} for good?", yes=yes, as_json=as_json)
        found = remove_unused(repository, load_params(root), keep_days=keep_days, remote=remote)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "commits": found.commits,
                "needed_bytes": found.needed_bytes,
                "cache": {"objects": len(found.cache), "bytes": sum(found.cache.values())},
                "remote": {"objects": len(found.remote), "bytes": sum(found.remote.values())},
            }
        )
        return
    terminal.say(f"Needed by {counted(found.commits, 'commit')}: {found.needed_bytes:,} bytes of the cache.")
    terminal.say(f"{'Not needed' if dry_run else 'Removed'}: {told}.")


def prune(
    keep_days: Annotated[
        float, typer.Option(min=0, max=36_500, help="Runs that began later than this are kept.")
    ] = 90.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete old runs and their events from Dagster; the latest runs of every package stay."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    from alp_assets.assets.events import prune as prune_runs
    from alp_assets.assets.instance import open_instance
    from alp_assets.home import open_root
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    with open_instance(root) as instance:
        found = prune_runs(instance, keep_days, dry_run=True)
        if not dry_run and found.runs:
            _ask(f"Delete {counted(found.runs, 'run')} older than {keep_days:g} days?", yes=yes, as_json=as_json)
            found = prune_runs(instance, keep_days, dry_run=False)
    if as_json:
        print_json({"dry_run": dry_run, **asdict(found)})
        return
    what = "would be deleted" if dry_run else "deleted"
    kept = counted(found.kept, "package")
    terminal.say(f"{counted(found.runs, 'old run')} {what}; the latest runs of {kept} stay.")


def _restore_models(root: Path, section: Section, revision: str, terminal: Terminal, *, as_json: bool) -> None:
    """Bring back the files of all models of a section, or of the one that was its champion then."""
    from alp_assets.versions.champions import restore_champion
    from alp_assets.versions.restore import restore_models

    if revision:
        done = restore_champion(root, section, revision)
        was = "was" if done.until else "is"
        notes = [f"{done.model} {was} its champion {span(done.since, done.until)}.", *done.notes]
        found = asdict(done)
    else:
        notes = restore_models(root, section)
        found = {"notes": notes}
    if as_json:
        print_json({"section": str(section), **found})
    for note in notes:
        terminal.say(note)


def _amount(objects: Mapping[str, int]) -> str:
    return f"{counted(len(objects), 'object')} of {sum(objects.values()):,} bytes"


def _ask(question: str, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise VersionRefused(f"{question} Add --yes to say so.")
    if not typer.confirm(question):
        raise typer.Exit(_DECLINED)
