"""Versions of what ALP is made of, and settings that come with them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alp_assets.version import code_version
from alp_assets.watch.doctor.finding import Finding, collected, ok, problem, warning
from alp_assets.watch.doctor.instance import instance_file, instance_settings

_REINSTALL = "Install ALP again from its lock file: `sh tools/install.sh`."
_SHOWN = ("dagster", "dagster-webserver", "dvc", "pandas", "torch", "transformers", "sqlalchemy", "fastapi")
_TELEMETRY = {
    "DVC_NO_ANALYTICS": "DVC",
    "GX_ANALYTICS_ENABLED": "Great Expectations",
    "HF_HUB_DISABLE_TELEMETRY": "Hugging Face",
}
_ON = {"GX_ANALYTICS_ENABLED": ("true", "1", "yes", "on")}
"""What means that it reports; of the others, a false value would."""

_OFF_WORDS = ("0", "false", "no", "off")


def software() -> list[Finding]:
    """Python, ALP, the libraries that matter, and traps between them."""
    return collected(
        {
            "python": _python,
            "alp": _alp,
            "libraries": _libraries,
            "antlr": _antlr,
            "git": _git,
            "programs": _tools,
        }
    )


def telemetry(data_root: Path) -> Iterator[Finding]:
    """Whether anything would report to its makers."""
    talking = []
    for name, whose in _TELEMETRY.items():
        value = os.environ.get(name, "").strip().lower()
        # unset is fine: ALP sets them itself wherever it starts these libraries
        if value and value in _ON.get(name, _OFF_WORDS):
            talking.append(f"{whose} ({name}={value})")
    config = instance_file(data_root)
    if config.is_file():
        off = (instance_settings(data_root).get("telemetry") or {}).get("enabled") is False
        if not off and not os.environ.get("DAGSTER_DISABLE_TELEMETRY"):
            talking.append(f"Dagster ({config})")
    if talking:
        yield warning(
            "telemetry",
            f"not off: {', '.join(talking)}",
            "Unset these variables, and write `telemetry: {enabled: false}` into dagster.yaml.",
        )
    else:
        yield ok("telemetry", "off")


def _python() -> Finding:
    supported = (3, 11) <= sys.version_info < (3, 14)
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return ok("python", found) if supported else problem("python", found, "Use Python 3.11, 3.12 or 3.13.")


def _alp() -> Finding:
    own = code_version()
    if own == "unknown":
        return problem("alp", "not installed as a package", "Run `pip install -e .` in the checkout.")
    return ok("alp", own)


def _libraries() -> Finding:
    have, missing = [], []
    for name in _SHOWN:
        try:
            have.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return problem("libraries", f"missing: {', '.join(missing)}", _REINSTALL)
    return ok("libraries", ", ".join(have))


def _antlr() -> Finding:
    """Dagster needs ANTLR's runtime 4.13, while an older hydra-core pulls 4.9; nothing tells until a run."""
    try:
        found, omegaconf = version("antlr4-python3-runtime"), version("omegaconf")
    except PackageNotFoundError as error:
        return problem("antlr", f"{error.name or 'antlr4-python3-runtime'} is missing", _REINSTALL)
    if not found.startswith("4.13"):
        return problem(
            "antlr",
            f"antlr4-python3-runtime {found}: Dagster's selections fail with it (it needs 4.13)",
            "`pip install 'antlr4-python3-runtime>=4.13,<4.14' 'hydra-core>=1.4.0rc1' 'omegaconf>=2.4.0rc1'`.",
        )
    if tuple(int(part) for part in omegaconf.split(".")[:2]) < (2, 4):
        return problem(
            "antlr",
            f"omegaconf {omegaconf} cannot use ANTLR {found}: `dvc exp run -S` fails",
            "`pip install 'hydra-core>=1.4.0rc1' 'omegaconf>=2.4.0rc1'`.",
        )
    return ok("antlr", f"{found} with omegaconf {omegaconf}")


def _git() -> Finding:
    git = shutil.which("git")
    if git is None:
        return problem("git", "not found", "Install git; DVC keeps its history in it.")
    shown = subprocess.run([git, "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    return ok("git", shown.stdout.strip().removeprefix("git version "))


def _tools() -> Finding:
    """Programs that only some uses need."""
    wanted = {
        "postgres": "several machines",
        "redis-server": "several machines",
        "chromium": "tests of the console",
    }
    here = [name for name in wanted if _found(name)]
    absent = [f"{name} ({use})" for name, use in wanted.items() if name not in here]
    shown = "; ".join(
        part
        for part in (
            f"here: {', '.join(here)}" if here else "",
            f"not here: {', '.join(absent)}" if absent else "",
        )
        if part
    )
    return ok("programs", shown)


def _found(name: str) -> bool:
    return bool(shutil.which(name)) or bool(
        name == "postgres" and next(Path("/usr/lib/postgresql").glob("*/bin/postgres"), None)
    )
