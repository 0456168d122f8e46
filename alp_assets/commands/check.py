"""``alp check``: what a package's problems are and what would become of it, before it is sent."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption, SetOption, overrides
from alp_assets.errors import ParameterError

if TYPE_CHECKING:
    from alp_assets.params import Params
    from alp_assets.report.check import CheckView
    from alp_assets.report.findings import Group
    from alp_assets.stages.preflight import Preflight, Prospect
    from alp_assets.terminal import Terminal
    from schemas.problems import Problem
    from schemas.texts import Language

EXIT_CODES = {"ok": 0, "problems": 1, "refused": 2}
_PLACES_SHOWN = 8
_GROUPS_SHOWN = 40


def check(
    archive: Annotated[Path, typer.Argument(help="The zip to check.")],
    customer: Annotated[
        str, typer.Option("--customer", "-c", help="Whose package it is: their pinned engines and models count.")
    ] = "check",
    language: Annotated[str, typer.Option("--lang", help="Language of the page and the texts: en or ko.")] = "en",
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the page to this file.", metavar="FILE")
    ] = None,
    settings: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a package without onboarding it. Exit code 0 when it is fine, 1 with problems, 2 when refused."""
    from alp_assets.files import write_bytes
    from alp_assets.home import open_root
    from alp_assets.params import load_params, with_overrides
    from alp_assets.report.check import render_check
    from alp_assets.stages.package import PackageFolder
    from alp_assets.stages.preflight import preflight
    from alp_assets.terminal import Terminal
    from schemas.texts import LANGUAGES

    chosen = next((known for known in LANGUAGES if known == language), None)
    if chosen is None:
        raise ParameterError(f"--lang {language}: checks are written in {' and '.join(LANGUAGES)}.")
    root, terminal = open_root(data), Terminal(quiet=as_json)
    params = with_overrides(load_params(root), overrides(settings) | {"quality.data_docs": False})
    with tempfile.TemporaryDirectory(prefix="alp-check-") as scratch, terminal.working():
        folder = PackageFolder(Path(scratch), customer, "package")
        found = preflight(folder, archive, root, params, terminal.progress)
    view = _view(found, params, chosen)
    if html is not None:
        write_bytes(html, render_check(view, chosen).encode())
    if as_json:
        typer.echo(json.dumps(_as_json(found, view, chosen), ensure_ascii=False, indent=2, default=str))
    else:
        _show(found, view, terminal, chosen)
        if html is not None:
            terminal.say(_words(chosen)["summary"]["written"].format(path=html))
    raise typer.Exit(EXIT_CODES[found.verdict])


def _words(language: Language) -> Any:
    from schemas.texts import read_texts

    return read_texts("check", language)


def _view(found: Preflight, params: Params, language: Language) -> CheckView:
    from alp_assets.report.check import CheckView, MachineRow

    words = _words(language)
    counts = {
        "recordings": found.recordings,
        "usable": found.usable,
        "able": found.able,
        "sections": len(found.prospects),
    }
    machines = [
        MachineRow(
            name=prospect.name,
            able=prospect.state in ("model", "served"),
            state=words["state"][prospect.state],
            usable=words["table"]["of"].format(usable=prospect.usable, sent=prospect.sent),
            normals=words["table"]["normal_clips"].format(
                target=prospect.target_normals, source=prospect.source_normals
            ),
            engine=f"{prospect.engine} ({prospect.letter})" if prospect.engine else "",
            why=_why(prospect, params, words),
        )
        for prospect in found.prospects
    ]
    return CheckView(
        archive=found.archive,
        verdict=found.verdict,
        headline=words["verdict"][found.verdict],
        lead=words["lead"][found.verdict].format(**counts),
        reasons=found.reasons[language],
        machines=machines,
        problems=found.problems,
    )


def _why(prospect: Prospect, params: Params, words: Any) -> str:
    if prospect.state == "model":
        return str(words["why"][prospect.why])
    count = prospect.source_normals + prospect.target_normals
    return str(words["missing"][prospect.state]).format(count=count, least=params.models.min_normals)


def _summary(found: Preflight, words: Any) -> str:
    told = words["summary"]
    if not found.problems and found.verdict == "ok":
        return str(told["clean"])
    serious, warnings = found.serious, len(found.problems) - found.serious
    return str(told["line"]).format(
        problems=told["one_problem"] if serious == 1 else told["problems"].format(count=serious),
        warnings=told["one_warning"] if warnings == 1 else told["warnings"].format(count=warnings),
        verdict=words["verdict"][found.verdict],
    )


def _show(found: Preflight, view: CheckView, terminal: Terminal, language: Language) -> None:
    from alp_assets.report.findings import grouped
    from schemas.texts import read_texts

    words = _words(language)
    groups = grouped(found.problems, language, most_places=_PLACES_SHOWN).shown
    shared = read_texts("letter", language)["findings"]
    for group in groups[:_GROUPS_SHOWN]:
        _show_group(group, shared, words, terminal)
    left = sum(group.count for group in groups[_GROUPS_SHOWN:])
    if left:
        terminal.say(words["summary"]["groups_left"].format(count=left))
    if view.machines:
        columns = [words["table"][name] for name in ("section", "state", "why")]
        rows = [
            [item.name, f"{item.state}\n{item.engine}".strip(), f"{item.normals}. {item.why}"]
            for item in view.machines
        ]
        terminal.table(words["page"]["outlook"], columns, rows)
    for reason in view.reasons:
        terminal.say(f"{words['page']['refused']}: {reason}")
    terminal.say(_summary(found, words))


def _show_group(group: Group, shared: Any, words: Any, terminal: Terminal) -> None:
    """One kind of problem: what it costs and what is wrong, how to mend it, and the first of its places."""
    times = f" ({shared['times'].format(count=group.count)})" if group.count > 1 else ""
    terminal.say(f"[{group.cost}]{times} {group.problem}".rstrip())
    if group.remedy:
        terminal.say(f"  → {group.remedy}")
    for place in group.places:
        if not place.known:
            continue
        parts = [
            shared["row"].format(row=place.row) if place.row is not None else "",
            shared["column"].format(column=place.column) if place.column else "",
            f"“{place.value}”" if place.value else "",
            place.file if place.file != place.value else "",
        ]
        where = "  ".join(part for part in parts if part)
        said = place.told.problem if place.told and not group.problem else ""
        terminal.say(f"  · {where}{': ' if where and said else ''}{said}")
        if place.told and not group.remedy:
            terminal.say(f"      → {place.told.remedy}")
    if group.left_out:
        terminal.say(f"  {words['summary']['places_left'].format(count=group.left_out)}")
    terminal.say("")


def _as_json(found: Preflight, view: CheckView, language: Language) -> dict[str, Any]:
    return {
        "archive": found.archive,
        "verdict": found.verdict,
        "passed": found.verdict != "refused",
        "summary": _summary(found, _words(language)),
        "reasons": list(view.reasons),
        "recordings": {"sent": found.recordings, "usable": found.usable},
        "problems": [_problem(problem, language) for problem in found.problems],
        "sections": [
            {**asdict(prospect), "why": row.why}
            for prospect, row in zip(found.prospects, view.machines, strict=True)
        ],
    }


def _problem(problem: Problem, language: Language) -> dict[str, Any]:
    return {**asdict(problem), **problem.told(language)._asdict()}
