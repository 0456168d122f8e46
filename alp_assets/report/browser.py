"""A headless browser, where there is one: it prints a page that ALP wrote as a PDF."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes

BROWSER_VARIABLE = "ALP_BROWSER"
TIME_LIMIT_S = 120.0

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-pdf-header-footer",
    # pages of ALP need nothing from the network, and get nothing
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class BrowserMissing(AlpError):
    """There is no browser that could print."""


class PrintFailed(AlpError):
    """The browser did not make a PDF of a page."""


def find_browser() -> Path | None:
    """Chromium, Chrome or Edge: what ``ALP_BROWSER`` names, else the first on the path, else None.

    Raises:
        BrowserMissing: ``ALP_BROWSER`` names no program.
    """
    chosen = os.environ.get(BROWSER_VARIABLE)
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise BrowserMissing(
                f"{BROWSER_VARIABLE}={chosen}: there is no such program. Name the program file of Chromium, "
                "Chrome or Edge, or unset it."
            )
        return Path(found)
    known = (shutil.which(name) for name in (*_NAMES, *_APPLICATIONS))
    return next((Path(program) for program in known if program), None)


def print_pdf(html: Path, pdf: Path, *, time_limit_s: float = TIME_LIMIT_S) -> None:
    """Print a self-contained page as a PDF, which appears when it is whole; page size and margins are the page's.

    Raises:
        BrowserMissing: no browser is here.
        PrintFailed: there is no such page, or the browser failed or took longer than ``time_limit_s``.
    """
    browser = find_browser()
    if browser is None:
        raise BrowserMissing(
            "No browser is here to print a PDF. Install Chromium, Chrome or Edge, or name one in "
            f"{BROWSER_VARIABLE}; or open {html} in any browser and print it from there."
        )
    if not html.is_file():
        raise PrintFailed(f"{html}: there is no such page to print.")
    with tempfile.TemporaryDirectory(prefix="alp-print-", ignore_cleanup_errors=True) as scratch:
        printed = Path(scratch) / "page.pdf"
        # Chromium refuses to run as root inside its own sandbox
        sandbox = ["--no-sandbox"] if sys.platform != "win32" and os.geteuid() == 0 else []
        places = [f"--user-data-dir={Path(scratch) / 'profile'}", f"--print-to-pdf={printed}"]
        command = [str(browser), *_OPTIONS, *sandbox, *places, html.resolve().as_uri()]
        said = _run(command, html, Path(scratch) / "said.txt", time_limit_s)
        content = printed.read_bytes() if printed.is_file() else b""
        if not content.startswith(b"%PDF-"):
            raise PrintFailed(f"{html}: {browser} made no PDF of it{f' ({said})' if said else ''}.")
        write_bytes(pdf, content)


def _run(command: list[str], html: Path, said: Path, time_limit_s: float) -> str:
    """Run a browser to its end, its words into the file ``said``; returns the last of them."""
    # a file, because a pipe would stay open as long as anything that the browser left behind
    with said.open("wb") as stream:
        try:
            process = subprocess.Popen(  # noqa: S603  the program is one that find_browser found
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        except OSError as error:
            raise PrintFailed(f"{command[0]}: the browser cannot be started ({error}).") from error
    try:
        process.wait(time_limit_s)
    except subprocess.TimeoutExpired as error:
        raise PrintFailed(
            f"{html}: {command[0]} did not print it within {time_limit_s:g} seconds. Try again when this computer "
            "has less to do, or print the page from a browser window."
        ) from error
    finally:
        _end(process)
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a browser that is still running, with all that it started."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
