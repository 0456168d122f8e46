"""What would become of a package if it were sent as it is: its problems, and every machine's prospects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from alp_assets.encoders.catalog import resolve_encoder
from alp_assets.engines.base import SOURCE, TARGET
from alp_assets.engines.selection import BANKS_ALWAYS, Situation, choose_engine, wanted_engine
from alp_assets.params import Params
from alp_assets.progress import Progress
from alp_assets.stages.corpus import CONDITIONS
from alp_assets.stages.gate_texts import failure_text
from alp_assets.stages.metadata import metadata, read_metadata
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.quality import quality, read_quality
from alp_assets.stages.quality_compare import OK
from alp_assets.stages.quality_signals import signal_points
from alp_assets.stages.rejection import known_problems
from alp_assets.stages.upload import upload
from schemas.machines import MACHINE_TYPE_NAMES
from schemas.modalities import SOUND
from schemas.problems import Problem
from schemas.sections import Section
from schemas.texts import LANGUAGES, Language

Verdict = Literal["ok", "problems", "refused"]
State = Literal["model", "served", "too_few", "no_normals", "nothing", "unsuited"]

_CLIP_S = 10


@dataclass(frozen=True)
class Prospect:
    """What a machine would get.

    ``state``: ``model`` one of its own; ``served`` none, and its present model scores it; ``too_few`` or
    ``no_normals`` none, for want of normals; ``nothing`` none of its recordings can be used; ``unsuited`` none,
    because the engine that was asked for does not work on what they hold.
    Counts are recordings as sent, but for ``source_normals`` and ``target_normals``, which are usable clips.
    ``why`` is the key of the reason for the engine; ``engine_says`` are the engine selection's own words.
    """

    machine_type: str
    section_id: str
    state: State
    sent: int
    usable: int
    source_normals: int
    target_normals: int
    engine: str = ""
    letter: str = ""
    encoder: str = ""
    why: str = ""
    engine_says: str = ""

    @property
    def name(self) -> str:
        """Machine type and section id."""
        return f"{self.machine_type}/{self.section_id}"


@dataclass(frozen=True)
class Preflight:
    """Everything that a check found. ``reasons`` say in each language why the package would be refused."""

    archive: str
    verdict: Verdict
    problems: tuple[Problem, ...]
    prospects: tuple[Prospect, ...]
    reasons: dict[Language, tuple[str, ...]]
    recordings: int
    usable: int

    @property
    def serious(self) -> int:
        """How many of the problems cost something."""
        return sum(problem.severity != "warning" for problem in self.problems)

    @property
    def able(self) -> int:
        """How many machines would get a model or have one."""
        return sum(prospect.state in ("model", "served") for prospect in self.prospects)


def preflight(
    folder: PackageFolder,
    archive: Path,
    data_root: Path,
    params: Params,
    progress: Callable[[str], Progress],
) -> Preflight:
    """Check a zip in a folder that is thrown away afterwards.

    ``folder`` has the name that the package would have; weights and models of the customer are looked for
    in ``data_root``. Normals of earlier packages, which onboarding adds, are not counted.
    """
    upload(folder, params, progress("upload"), archive=archive)
    table = metadata(folder, params, progress("metadata"))
    gate = table.gates[0]
    if table.passed:
        gate = quality(folder, params, progress("quality"), history=data_root).gates[0]
    problems = known_problems(folder)
    refused = gate.status == "failed"
    prospects = _prospects(folder, data_root, params, table.tables["left_out"]) if table.passed else []
    reasons: dict[Language, tuple[str, ...]] = {
        language: (failure_text(gate.name, gate.figures, problems, language),) if refused else ()
        for language in LANGUAGES
    }
    problems += [] if refused else _few_normals(prospects, params)
    serious = any(problem.severity != "warning" for problem in problems)
    measured = read_quality(folder) if table.passed else pd.DataFrame({"verdict": []})
    return Preflight(
        archive=archive.name,
        verdict="refused" if refused else "problems" if serious else "ok",
        problems=tuple(problems),
        prospects=tuple(prospects),
        reasons=reasons,
        recordings=len(measured),
        usable=int((measured["verdict"] == OK).sum()),
    )


def _prospects(folder: PackageFolder, data_root: Path, params: Params, left_out: pd.DataFrame) -> list[Prospect]:
    """Every machine that the table names, also where no row of it could be used."""
    measured = read_quality(folder)[["row", "modality", "verdict", "duration_s", "audio_sha256"]]
    table = read_metadata(folder).drop(columns="modality").merge(measured, on="row", validate="one_to_one")
    table = table.assign(points=table["row"].map(signal_points(folder)))
    known = left_out["machine_type"].isin(MACHINE_TYPE_NAMES) & left_out["section_id"].notna()
    named = pd.concat([table, left_out[known]])
    encoder = resolve_encoder(params.embeddings, data_root)
    return [
        _prospect(Section(folder.customer, str(kind), str(name)), rows, folder, data_root, params, encoder)
        for (kind, name), rows in named.groupby(["machine_type", "section_id"])
    ]


def _prospect(
    section: Section, rows: pd.DataFrame, folder: PackageFolder, data_root: Path, params: Params, encoder: str
) -> Prospect:
    from alp_assets.registry.registry import Registry

    usable = rows[rows["verdict"] == OK]
    clips = _normal_clips(usable, params)
    counts = {domain: int((clips["domain"] == domain).sum()) for domain in (SOURCE, TARGET)}
    state: State = "model"
    if len(clips) < params.models.min_normals:
        served = len(clips) == 0 and len(usable) and Registry(data_root).champion(section) is not None
        few: State = "too_few" if len(clips) else "no_normals" if len(usable) else "nothing"
        state = "served" if served else few
    found = Prospect(
        section.machine_type, section.section_id, state, len(rows), len(usable), counts[SOURCE], counts[TARGET]
    )
    return _with_engine(found, clips, folder, params, encoder) if state == "model" else found


def _with_engine(
    found: Prospect, clips: pd.DataFrame, folder: PackageFolder, params: Params, encoder: str
) -> Prospect:
    conditions = {name: clips[name].fillna("").to_numpy(str) for name in CONDITIONS}
    recordings = clips["audio_sha256"].to_numpy(str)
    modality = str(clips["modality"].iloc[0])
    situation = Situation(found.source_normals, found.target_normals, encoder, conditions, recordings, modality)
    choice = choose_engine(params.models, folder.customer, folder.package, situation)
    if choice.problem:
        return replace(found, state="unsuited", engine_says=choice.problem)
    rules = params.models.selection
    if wanted_engine(params.models, folder.customer, folder.package)[0] not in ("auto", "auto+c"):
        why = "asked_for"
    elif situation.signals:
        why = "signals_much" if choice.engine.name == "time_moe" else "signals"
    elif choice.engine.name == "meta_prototype":
        why = "conditions"
    elif found.source_normals >= rules.much_source:
        why = "much_source"
    elif found.target_normals >= rules.few_target:
        why = "enough_target"
    else:
        why = "few_without_weights" if encoder in BANKS_ALWAYS else "few"
    return replace(
        found,
        engine=choice.engine.name,
        letter=choice.engine.letter,
        encoder=choice.feature.encoder,
        why=why,
        engine_says=choice.reason,
    )


def _normal_clips(usable: pd.DataFrame, params: Params) -> pd.DataFrame:
    """A row for every clip that the normals for training will be cut into."""
    normals = usable[(usable["split"] == "train") & (usable["label"] == "normal")]
    whole, rest = np.divmod(normals["duration_s"].to_numpy(float), _CLIP_S)
    sounds = whole + (rest >= params.clips.min_seconds)
    signals = normals["points"].fillna(0).to_numpy(float) // params.signals.clip_points
    counts = np.where(normals["modality"] == SOUND, sounds, signals)
    return normals.loc[normals.index.repeat(counts.astype(int))]


def _few_normals(prospects: list[Prospect], params: Params) -> list[Problem]:
    """Machines that can get no model from this package, as problems."""
    return [
        Problem(
            "warning",
            "few_normals",
            {"section": found.name, "count": found.source_normals + found.target_normals},
        )
        for found in prospects
        if found.source_normals + found.target_normals < params.models.min_normals
    ]
