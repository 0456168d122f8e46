"""Packages as JSON: how far they are, by their folders and Dagster's last run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from alp_assets.errors import AlpError
from alp_assets.files import read_json
from alp_assets.stages.package import REJECTED, STAGES, PackageFolder
from alp_assets.store.base import Store, store_of
from alp_assets.watch import packages as watched
from alp_assets.watch.runs import Run as AnyRun
from alp_assets.web.problems import API
from alp_assets.web.runs import Run
from alp_assets.web.views.checks import listed
from alp_assets.web.views.models import finite
from schemas.sections import SLUG
from schemas.texts import LANGUAGES

REPORT_FILE = "report.html"


def packages_of(data_root: Path, customer: str | None) -> list[PackageFolder]:
    """The packages that have arrived, of a customer or of all."""
    store = store_of(data_root)
    names = {
        (whose, name)
        for whose in ([customer] if customer else store.below("packages"))
        for name in store.below(f"packages/{whose}")
    }
    names |= set(_sent(store, customer))
    return [
        PackageFolder(data_root, *name) for name in sorted(names) if all(SLUG.fullmatch(part) for part in name)
    ]


def _sent(store: Store, customer: str | None) -> Iterator[tuple[str, str]]:
    """Customer and package of the zips in the inbox."""
    for whose in [customer] if customer else store.below("inbox"):
        for item in store.arrived(f"inbox/{whose}"):
            path = PurePosixPath(item.name)
            if len(path.parts) == 1 and path.suffix == ".zip":
                yield whose, path.stem


def customers(data_root: Path) -> list[str]:
    """Everybody whose data there are."""
    store = store_of(data_root)
    names = {name for place in ("packages", "inbox", "models") for name in store.below(place)}
    return sorted(name for name in names if SLUG.fullmatch(name))


def overview(folder: PackageFolder, run: AnyRun | None) -> dict[str, Any]:
    """A package as lists show it."""
    receipt = _receipt(folder)
    return {
        "customer": folder.customer,
        "package": folder.package,
        "state": state_of(folder, run),
        "scored": folder.has("scores"),
        "received_at": receipt.get("received_at") or _arrived(folder),
        "bytes": receipt.get("bytes") or _bytes(folder),
        "original_name": receipt.get("original_name", folder.inbox.name),
        "links": {"self": link(folder)},
    }


def state_of(folder: PackageFolder, run: AnyRun | None) -> watched.State:
    """The state of a package, as ``alp status`` and the metrics tell it. ``run`` is its last one."""
    return watched.state_of(_package(folder), run if run is None or run.status != "SUCCESS" else None)


def stage_states(folder: PackageFolder, state: str) -> list[dict[str, Any]]:
    """How far each stage is, with its figures and gates."""
    summaries = {name: _summary(folder, name) for name in STAGES}
    found: list[dict[str, Any]] = []
    stopped = False
    for name in STAGES:
        summary = summaries[name]
        done = summary is not None or (name == "report" and folder.has(name))
        working = next(folder.path.glob(f".{name}.*.part"), None) is not None
        gates = summary["gates"] if summary else []
        if stopped:
            word = "skipped"
        elif any(gate["status"] == "failed" for gate in gates):
            word, stopped = "refused", True
        elif state == "running" and working:
            word = "running"
        elif done:
            word = "done"
        else:
            word = (
                "failed"
                if state == "failed" and not any(item["state"] == "failed" for item in found)
                else "waiting"
            )
        figures = finite(summary["figures"]) if summary else {}
        found.append({"stage": name, "state": word, "figures": figures, "gates": finite(gates)})
    return found


def details(folder: PackageFolder, run: Run | None, dagster_url: str | None) -> dict[str, Any]:
    """A package as its own page shows it."""
    state = state_of(folder, run)
    metrics = _metrics(folder)
    has_report, has_letter = folder.file("report", REPORT_FILE).is_file(), folder.has(REJECTED)
    return {
        **overview(folder, run),
        "stages": stage_states(folder, state),
        **_problems(folder),
        "sections": [
            {**entry, "model": entry.get("model_version")} for entry in finite(metrics.get("sections", []))
        ],
        "overall": finite(metrics["overall"]) if "overall" in metrics else None,
        "run": run_json(run, dagster_url),
        "has_report": has_report,
        "has_letter": has_letter,
        "complaint": _complaint(folder),
        "links": {
            "self": link(folder),
            "events": f"{link(folder)}/events",
            "clips": f"{link(folder)}/clips",
            **({"report": f"{link(folder)}/report"} if has_report else {}),
            **({"letter": f"{link(folder)}/letter"} if has_letter else {}),
        },
    }


def progress(folder: PackageFolder, run: Run | None, dagster_url: str | None) -> dict[str, Any]:
    """What streams tell."""
    state = state_of(folder, run)
    stages = [{"stage": item["stage"], "state": item["state"]} for item in stage_states(folder, state)]
    return {"state": state, "stages": stages, "run": run_json(run, dagster_url)}


def run_json(run: Run | None, dagster_url: str | None) -> dict[str, Any] | None:
    """A run, with its page in Dagster."""
    if run is None:
        return None
    url = f"{dagster_url}/runs/{run.id}" if dagster_url else None
    return {"id": run.id, "status": run.status, "url": url, "error": run.error}


def link(folder: PackageFolder) -> str:
    """Where the API shows a package."""
    return f"{API}/packages/{folder.customer}/{folder.package}"


def _problems(folder: PackageFolder) -> dict[str, Any]:
    from alp_assets.stages.rejection import known_problems, refusal_reasons

    try:
        problems = known_problems(folder)
        refused = _failed_gate(folder)
        reasons = {
            language: refusal_reasons(folder, problems, language) if refused else [] for language in LANGUAGES
        }
    except (AlpError, OSError, KeyError, ValueError):  # a stage is replacing its folder at this moment
        problems, reasons = [], {language: [] for language in LANGUAGES}
    return {"reasons": reasons, **listed(problems)}


def _failed_gate(folder: PackageFolder) -> bool:
    gates: Iterator[Any] = (gate for name in STAGES for gate in (_summary(folder, name) or {"gates": []})["gates"])
    return any(gate["status"] == "failed" for gate in gates)


def _package(folder: PackageFolder) -> watched.Package:
    """What a package's folder shows, or what the inbox does where there is none."""
    if not folder.exists():
        refused = bool(_complaint(folder))
        return watched.Package(folder.customer, folder.package, 0.0, arrived_only=True, rejected=refused)
    if not store_of(folder.data_root).mirrors:
        found = watched.read_package(folder.path, promises=False)
        return replace(found, working=found.working and watched.is_worked_on(folder.path))
    stages = frozenset(name for name in STAGES if folder.has(name))
    return watched.read_package(folder.path, promises=False, stages=stages, rejected=folder.has(REJECTED))


def _summary(folder: PackageFolder, name: str) -> dict[str, Any] | None:
    try:
        return folder.summary(name)
    except AlpError:
        return None


def _metrics(folder: PackageFolder) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(folder.file("scores", "metrics.json"))
    except (OSError, json.JSONDecodeError):
        return {}
    return found


def _receipt(folder: PackageFolder) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(folder.file("upload", "receipt.json"))
    except (OSError, json.JSONDecodeError):
        return {}
    return found


def _arrived(folder: PackageFolder) -> str | None:
    for place in (folder.inbox, folder.path):
        if place.exists():
            return datetime.fromtimestamp(place.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return None


def _bytes(folder: PackageFolder) -> int | None:
    return folder.inbox.stat().st_size if folder.inbox.is_file() else None


def _complaint(folder: PackageFolder) -> str:
    """What the inbox says of a file that it cannot take."""
    note = folder.inbox.with_name(f"{folder.inbox.name}.problem.txt")
    try:
        return note.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
