"""``alp report``: a package's report anew, in another language, and as a PDF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from alp_assets.commands.options import DataOption, JsonOption


def report(
    package: Annotated[str, typer.Argument(help="customer/package", metavar="PACKAGE")],
    lang: Annotated[
        str | None, typer.Option(help="ko or en: the language in which it opens; default report.language.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print it as a PDF too, with a browser.")] = False,
    out: Annotated[Path, typer.Option(help="The folder to write to.", show_default="here")] = Path(),
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a finished package as HTML, and as PDF if asked for.

    It is made from what the stages have found; the package's own report stays as it is.
    """
    from alp_assets.home import open_root
    from alp_assets.params import load_params
    from alp_assets.report.browser import print_pdf
    from alp_assets.stages.package import PackageFolder
    from alp_assets.stages.report import known_language, write_report
    from alp_assets.terminal import Terminal

    root, terminal = open_root(data), Terminal(quiet=as_json)
    language = known_language(lang) if lang else None
    customer, _, rest = package.replace("__", "/", 1).partition("/")
    folder = PackageFolder(root, customer, rest)
    with terminal.working():
        page = write_report(folder, out, load_params(root), language, terminal.progress("report"))
    written = {"html": page}
    if pdf:
        written["pdf"] = page.with_suffix(".pdf")
        print_pdf(page, written["pdf"])
    if as_json:
        typer.echo(json.dumps({name: str(path) for name, path in written.items()}, ensure_ascii=False, indent=2))
        return
    for path in written.values():
        terminal.say(f"{path}, {path.stat().st_size / 1e6:.1f} MB")
