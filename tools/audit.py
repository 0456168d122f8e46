"""Audit what ALP is built on: ``python -m tools.audit``, or ``make audit``.

Writes ``docs/licences.md`` and the bill of materials ``build/sbom.json`` (CycloneDX), and asks OSV, a database of
known vulnerabilities, about every version in the lock. Exit code 1 when a licence is not allowed or a version is
vulnerable. Without a way to the database it says so and passes: a machine that is offline must be able to build.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tools.licences import EXCEPTIONS, LIST, PROJECT, locked, markdown, packages

SBOM = PROJECT / "build" / "sbom.json"
DATABASE = "api.osv.dev"

_REACH_S = 5.0
_MOST_S = 900.0
_OFFLINE = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "NameResolutionError",
    "ServiceError",
    "ProxyError",
)


def main() -> int:
    """Do all of it; 1 when something is wrong."""
    LIST.write_text(markdown())
    wrong = [f"{item.name}: {item.licence}" for item in packages() if not item.allowed]
    print(f"licences: {len(packages())} packages, {len(EXCEPTIONS)} exceptions; {LIST.relative_to(PROJECT)}")
    for text in wrong:
        print(f"licences: NOT ALLOWED {text}; find another package, or state an exception in tools/licences.py")
    parts = bill_of_materials(SBOM)
    print(f"bill of materials: {parts} parts; {SBOM.relative_to(PROJECT)}")
    vulnerable = advisories()
    return int(bool(wrong) or vulnerable)


def bill_of_materials(path: Path) -> int:
    """Write the bill of materials of this environment. How many parts it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(PROJECT / "pyproject.toml")]
    options = ["--output-reproducible", "--no-validate", "--of", "JSON", "-o", str(path), sys.executable]
    subprocess.run([*command, *options], check=True, stderr=subprocess.DEVNULL)
    return len(json.loads(path.read_text())["components"])


def advisories(host: str = DATABASE, command: tuple[str, ...] = (sys.executable, "-m", "pip_audit")) -> bool:
    """Ask for the known vulnerabilities of the lock and print them. Whether there are any."""
    if not _reachable(host):
        print(f"advisories: NOT AUDITED: no advisory database reachable ({host}).")
        return False
    options = ["-s", "osv", "--disable-pip", "--no-deps", "-r", str(PROJECT / "requirements.lock")]
    try:
        done = subprocess.run(
            [*command, *options, "--progress-spinner", "off"], capture_output=True, text=True, timeout=_MOST_S
        )
    except subprocess.TimeoutExpired:
        print(f"advisories: NOT AUDITED: {host} did not answer within {_MOST_S:g} s.")
        return False
    if done.returncode and any(word in done.stderr for word in _OFFLINE):
        print(f"advisories: NOT AUDITED: {host} broke the connection off.")
        return False
    print(
        done.stdout + done.stderr
        if done.returncode
        else f"advisories: none of {len(locked())} versions is known bad"
    )
    return done.returncode != 0


def _reachable(host: str) -> bool:
    """Whether the database answers, directly or by the proxy that the environment names."""
    if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
        return True
    try:
        with socket.create_connection((host, 443), _REACH_S):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
