"""Why clips got their scores: anomaly maps and findings, kept beside the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from alp_assets.audio.decode import FloatArray
from alp_assets.files import write_csv
from alp_assets.stages.marked import marked, unmarked
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.serving import Loaded, explain_clips
from schemas.sections import Section

FINDINGS_FILE = "findings.csv"
MAPS = "maps"
FINDING_COLUMNS = ("clip_id", "engine", "cause", "measured", "limit", "unit", "grade")


@dataclass(frozen=True)
class Explained:
    """The evidence for some clips of a section: anomaly maps (bands, time) by clip, and rows of findings."""

    section: Section
    maps: dict[str, FloatArray]
    findings: pd.DataFrame


def explain(section: Section, loaded: Loaded, opinions: Sequence[Loaded], clips: pd.DataFrame) -> Explained:
    """What the model and the second opinions have to say of clips (``clip_id``, ``position``)."""
    maps: dict[str, FloatArray] = {}
    rows = []
    for item in (loaded, *opinions):
        found = explain_clips(item, clips["position"].to_numpy())
        for clip_id, evidence in zip(clips["clip_id"], found, strict=True):
            if evidence.map is not None and item is loaded:
                maps[clip_id] = evidence.map.astype(np.float32)
            rows += [
                (clip_id, item.engine, finding.cause, finding.measured, finding.limit, finding.unit, finding.grade)
                for finding in evidence.findings
            ]
    return Explained(section, maps, pd.DataFrame(rows, columns=list(FINDING_COLUMNS)))


def write_evidence(part: Path, explained: Sequence[Explained]) -> None:
    """``findings.csv`` for all sections, and ``maps/<section>.safetensors`` where there are maps."""
    from safetensors.numpy import save_file

    tables = [item.findings for item in explained if len(item.findings)]
    findings = pd.concat(tables) if tables else pd.DataFrame(columns=list(FINDING_COLUMNS))
    write_csv(part / FINDINGS_FILE, marked(findings))
    for item in explained:
        if item.maps:
            (part / MAPS).mkdir(exist_ok=True)
            save_file(item.maps, part / MAPS / f"{item.section.folder}.safetensors")


def read_findings(folder: PackageFolder) -> pd.DataFrame:
    """The findings of a package's clips."""
    types = dict.fromkeys(("clip_id", "engine", "cause", "unit", "grade"), "str")
    return unmarked(pd.read_csv(folder.stage("scores") / FINDINGS_FILE, dtype=types, keep_default_na=False))


def read_maps(folder: PackageFolder, section: Section) -> dict[str, FloatArray]:
    """The anomaly maps of a section by clip."""
    from safetensors.numpy import load_file

    path = folder.stage("scores") / MAPS / f"{section.folder}.safetensors"
    return dict(load_file(path)) if path.is_file() else {}
