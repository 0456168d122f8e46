"""Stage models: a fitted engine and a threshold for every section that has normals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alp_assets.decision.threshold import conformal_threshold
from alp_assets.engines.selection import choose_engine
from alp_assets.engines.store import save_model
from alp_assets.errors import TooFewNormals
from alp_assets.files import read_json, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.clips import read_clips
from alp_assets.stages.corpus import Contribution, Corpus, earlier_packages, gather
from alp_assets.stages.embeddings import Embedded, read_embeddings
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Summary
from alp_assets.stages.upload import read_receipt
from schemas.sections import Section

PLAN_FILE = "plan.json"
THRESHOLD_FILE = "threshold.json"


@dataclass(frozen=True)
class Plan:
    """What was decided for a section before fitting. ``engine`` is empty when nothing could be fitted."""

    section: str
    engine: str
    encoder: str
    reason: str
    source_normals: int
    target_normals: int
    packages: list[str]
    left_out: list[str]


def models(folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Fit, calibrate and register every section, several at a time.

    A section without normals in this package, or with too few in all, gets a plan that says so and no
    model; its champion may still score it.
    """
    from alp_assets.registry.registry import Registry

    folder.require("models")
    clips = read_clips(folder)
    embedded = read_embeddings(folder, params.embeddings.encoder)
    earlier = earlier_packages(folder, embedded.encoder)
    sections = package_sections(folder)
    plans: list[Plan] = []
    with folder.publish("models") as part:

        def fit(section: Section) -> Plan:
            return _fit_section(folder, section, clips, embedded, earlier, params, part / section.folder)

        for plan in ordered_map(fit, sections, params.run.threads):
            plans.append(plan)
            progress(len(plans), len(sections), "sections fitted")
        summary = write_summary(part, _summary(plans, part, sections))
    registry = Registry(folder.data_root)
    received = str(read_receipt(folder)["received_at"])
    for section, plan in zip(sections, plans, strict=True):
        if plan.engine:
            registry.register(section, folder.package, received, folder.stage("models") / section.folder)
    return summary


def package_sections(folder: PackageFolder) -> list[Section]:
    """The sections that the package's table names, sorted; of some no recording may have been usable."""
    table = read_metadata(folder)
    found = table[["machine_type", "section_id"]].drop_duplicates().itertuples(index=False)
    return sorted(Section(folder.customer, str(row[0]), str(row[1])) for row in found)


def package_versions(folder: PackageFolder) -> list[Path]:
    """The folders of the registered versions that the package's models are."""
    from alp_assets.registry.registry import Registry

    registry = Registry(folder.data_root)
    versions = [item for section in package_sections(folder) for item in registry.versions(section)]
    return [item.folder for item in versions if item.package == folder.package]


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan in a section's model folder."""
    plan: dict[str, Any] = read_json(folder / PLAN_FILE)
    return plan


def read_threshold(folder: Path) -> dict[str, Any]:
    """Threshold and calibration scores in a section's model folder."""
    threshold: dict[str, Any] = read_json(folder / THRESHOLD_FILE)
    return threshold


def _fit_section(
    folder: PackageFolder,
    section: Section,
    clips: pd.DataFrame,
    embedded: Embedded,
    earlier: list[Contribution],
    params: Params,
    place: Path,
) -> Plan:
    corpus = gather(folder, section, clips, embedded, earlier)
    domains = corpus.normals.domains
    counts = {name: int((domains == name).sum()) for name in ("source", "target")}
    choice = choose_engine(params.models, counts["source"], counts["target"])
    engine, reason = choice.engine.name, choice.reason
    place.mkdir()
    try:
        if not corpus.own.any():
            raise TooFewNormals("no normals yet: send 3 to 10 normal recordings of this machine")
        if len(domains) < params.models.min_normals:
            raise TooFewNormals(_too_few(len(domains), params.models.min_normals))
        model = choice.engine.fit(corpus.normals)
        scores = choice.engine.calibrate(corpus.normals)
    except TooFewNormals as error:
        engine, reason = "", str(error)
    if corpus.left_out:
        reason += f". Left out: {'; '.join(corpus.left_out)}"
    plan = Plan(
        str(section),
        engine,
        params.embeddings.encoder,
        reason,
        counts["source"],
        counts["target"],
        corpus.packages,
        corpus.left_out,
    )
    write_json(place / PLAN_FILE, asdict(plan))
    if engine:
        save_model(place, model, engine, _card(section, embedded, counts, corpus.packages, params))
        _save_threshold(place, corpus, scores, params)
    return plan


def _too_few(normals: int, least: int) -> str:
    return f"only {normals} normal clip{'s' * (normals != 1)}, and {least} are the least: send 3 to 10"


def _card(
    section: Section, embedded: Embedded, counts: dict[str, int], packages: list[str], params: Params
) -> dict[str, Any]:
    from alp_assets.version import code_version

    return {
        "section": str(section),
        "encoder": embedded.encoder,
        "normals": counts,
        "packages": packages,
        "parameters": params.model_dump(mode="json", include={"clips", "embeddings", "models", "decision"}),
        "code_version": code_version(),
    }


def _save_threshold(place: Path, corpus: Corpus, scores: np.ndarray[Any, Any], params: Params) -> None:
    domains = corpus.normals.domains
    by_domain = {name: scores[domains == name] for name in ("source", "target")}
    recordings = {name: len(set(corpus.normals.recordings[domains == name].tolist())) for name in by_domain}
    threshold = conformal_threshold(by_domain, params.decision.false_alarm_rate, recordings)
    calibration = [
        {"clip_id": clip, "domain": str(domain), "score": float(score), "own": bool(own)}
        for clip, domain, score, own in zip(corpus.clip_ids, domains, scores, corpus.own, strict=True)
    ]
    write_json(place / THRESHOLD_FILE, {**asdict(threshold), "calibration": calibration})


def _summary(plans: list[Plan], part: Path, sections: list[Section]) -> Summary:
    rows = []
    for plan, section in zip(plans, sections, strict=True):
        threshold = read_threshold(part / section.folder) if plan.engine else {}
        rows.append(
            {
                "section": f"{section.machine_type}/{section.section_id}",
                "engine": plan.engine or "none",
                "source_normals": plan.source_normals,
                "target_normals": plan.target_normals,
                "threshold": threshold.get("value"),
                "promised_false_alarms": threshold.get("promised"),
                "why": plan.reason,
            }
        )
    fitted = sum(bool(plan.engine) for plan in plans)
    figures: dict[str, int | float | str] = {
        "sections": len(plans),
        "fitted": fitted,
        "without_model": len(plans) - fitted,
        "normals": sum(plan.source_normals + plan.target_normals for plan in plans),
    }
    return Summary("models", figures, (), {"sections": pd.DataFrame(rows)})
