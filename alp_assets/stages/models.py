"""Stage models: a fitted engine and a threshold for every section that has normals."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from alp_assets.audio.standardize import CLIP_SECONDS
from alp_assets.encoders.base import Feature
from alp_assets.encoders.catalog import resolve_encoder
from alp_assets.engines.base import SOURCE, TARGET, Engine
from alp_assets.engines.catalog import feature_of, make_engine
from alp_assets.engines.selection import Choice, Situation, choose_engine, unsuited
from alp_assets.engines.store import SECOND, save_model
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.errors import EngineUnfit, TooFewNormals
from alp_assets.files import read_json, write_json
from alp_assets.parallel import ordered_map
from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.stages.corpus import Census, Corpus, Shelf
from alp_assets.stages.hearing import hearing
from alp_assets.stages.metadata import read_metadata
from alp_assets.stages.models_gates import earlier_normals, experts_in_use
from alp_assets.stages.models_threshold import fit_threshold, judged_on_labels, write_threshold
from alp_assets.stages.package import PackageFolder, write_summary
from alp_assets.stages.summary import Summary
from alp_assets.stages.training import Watch, forget_trainings, keep_metrics, long_training
from alp_assets.stages.upload import read_receipt
from alp_assets.stages.validation import unused
from schemas.modalities import SOUND
from schemas.sections import Section

PLAN_FILE = "plan.json"
THRESHOLD_FILE = "threshold.json"
SENSITIVITY_FILE = "sensitivity.json"


@dataclass(frozen=True)
class Opinion:
    """An engine that was to score beside the chosen one; ``problem`` says why it cannot."""

    engine: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.engine}: {self.problem}" if self.problem else self.engine


@dataclass(frozen=True)
class Plan:
    """What was decided for a section before fitting. ``engine`` is empty when nothing could be fitted."""

    section: str
    engine: str
    letter: str
    encoder: str
    reason: str
    source_normals: int
    target_normals: int
    packages: list[str]
    left_out: list[str]
    second_opinions: list[Opinion] = field(default_factory=list)


def models(
    folder: PackageFolder,
    params: Params,
    progress: Progress = silent,
    *,
    name: str = "",
    who: str = "alp",
    watch: Watch | None = None,
) -> Summary:
    """Fit, calibrate and register every section, several at a time.

    A section without normals in this package, or with too few in all, gets a plan that says so and no
    model; its champion may still score it. ``name`` is what the model of a package of one section is called.

    A training of hours keeps its state outside the stage's folder (``training``): a run that was killed goes on
    there when it is started again, and ``watch`` is told of every heartbeat as it comes.
    """
    from alp_assets.registry.registry import Registry

    folder.require("models")
    shelf = Shelf(folder)
    sections = package_sections(folder)
    plans: list[Plan] = []
    with folder.publish("models") as part:

        def fit(section: Section) -> Plan:
            return _SectionFit(shelf, section, params, part / section.folder, watch).run()

        for plan in ordered_map(fit, sections, params.run.threads):
            plans.append(plan)
            progress(len(plans), len(sections), "sections fitted")
        summary = write_summary(part, _summary(plans, part, sections))
    forget_trainings(folder)
    registry = Registry(folder.data_root)
    received = str(read_receipt(folder)["received_at"])
    for section, plan in zip(sections, plans, strict=True):
        if plan.engine:
            fitted = folder.stage("models") / section.folder
            registry.register(section, folder.package, received, fitted, name=name, who=who)
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


def read_sensitivity(folder: Path) -> list[dict[str, Any]]:
    """What the model in a section's folder would hear; nothing where it was not measured."""
    path = folder / SENSITIVITY_FILE
    heard: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    return heard


def read_threshold(folder: Path) -> dict[str, Any]:
    """Threshold and calibration scores in a section's or a second opinion's model folder."""
    threshold: dict[str, Any] = read_json(folder / THRESHOLD_FILE)
    return threshold


class _SectionFit:
    """One section from its normals to a model folder."""

    def __init__(
        self, shelf: Shelf, section: Section, params: Params, place: Path, watch: Watch | None = None
    ) -> None:
        self.shelf, self.section, self.params, self.place = shelf, section, params, place
        self.watch = watch
        self.encoder = resolve_encoder(params.embeddings, shelf.folder.data_root)

    def run(self) -> Plan:
        self.place.mkdir()
        census, left_out, choice = self._chosen(self.shelf.census(self.section))
        name, problem, packages = choice.engine.name, "", []
        try:
            self._refuse_too_few(census)
            if choice.problem:
                raise EngineUnfit(choice.problem)
            packages = self._fit(census, choice.engine, choice.feature, self.place)
        except EngineUnfit as error:
            name, problem = "", str(error)
        left = f"Left out: {'; '.join(left_out)}" if left_out else ""
        engines = {name, *self.params.models.second_opinions}
        idle = unused(self.shelf.clips, self.section, engines) if name else ""
        plan = Plan(
            section=str(self.section),
            engine=name,
            letter=choice.engine.letter if name else "",
            encoder=choice.feature.encoder,
            reason=". ".join(filter(None, [problem or choice.reason, left, idle])),
            source_normals=census.count(SOURCE),
            target_normals=census.count(TARGET),
            packages=packages,
            left_out=left_out,
            second_opinions=self._second_opinions(census, name) if name else [],
        )
        write_json(self.place / PLAN_FILE, asdict(plan))
        return plan

    def _chosen(self, census: Census) -> tuple[Census, list[str], Choice]:
        """The engine for a census, without the packages whose embeddings it cannot use."""
        out: dict[str, str] = {}
        while True:
            situation = self._situation(census)
            folder = self.shelf.folder
            choice = choose_engine(self.params.models, folder.customer, folder.package, situation)
            more = {} if choice.problem else self.shelf.left_out(census, choice.feature)
            if not more:
                return census, [f"{name}: {problem}" for name, problem in out.items()], choice
            out |= more
            census = census.without(list(more))

    def _situation(self, census: Census) -> Situation:
        recordings = census.table["recording"].to_numpy(str)
        counts = census.count(SOURCE), census.count(TARGET)
        return Situation(*counts, self.encoder, census.conditions, recordings, census.modality)

    def _refuse_too_few(self, census: Census) -> None:
        from alp_assets.registry.registry import Registry

        if not census.table["own"].any():
            if Registry(self.shelf.folder.data_root).champion(self.section):
                raise TooFewNormals("no normals in this package; the machine's present model scores it")
            raise TooFewNormals("no normals yet: send 3 to 10 normal recordings of this machine")
        count, least = len(census.table), self.params.models.min_normals
        if count < least:
            normals = f"{count} normal clip{'s' * (count != 1)}"
            raise TooFewNormals(f"only {normals}, and {least} are the least: send 3 to 10")

    def _fit(self, census: Census, engine: Engine, feature: Feature, place: Path) -> list[str]:
        """Fit and calibrate an engine into a folder; the packages that it learnt from."""
        if isinstance(engine, TimeMoe):
            engine, corpus = long_training(self.shelf, census, engine, feature, self.params.decision, self.watch)
        else:
            corpus = self.shelf.gather(census, engine, feature)
        model = engine.fit(corpus.normals)
        scores = engine.calibrate(corpus.normals)
        threshold = fit_threshold(corpus, scores, self.params.decision, self._clip_seconds(census))
        if isinstance(engine, TimeMoe):
            threshold = judged_on_labels(place, engine, model, threshold, corpus, scores)
            keep_metrics(engine, place)
        write_threshold(place / THRESHOLD_FILE, threshold, corpus, scores)
        card = {**self._card(corpus), **self._signal_card(census)}
        save_model(place, model, engine.name, card, beside=[THRESHOLD_FILE])
        if self.params.sensitivity.enabled and place == self.place and census.modality == SOUND:
            heard = hearing(self.shelf, corpus, engine, feature, threshold.value, self.params)
            write_json(place / SENSITIVITY_FILE, heard)
        return corpus.packages

    def _second_opinions(self, census: Census, chosen: str) -> list[Opinion]:
        """The engines that score beside the chosen one, each in a folder of its own."""
        opinions = []
        for name in dict.fromkeys(self.params.models.second_opinions):
            if name == chosen:
                continue
            if problem := unsuited(name, census.modality):
                opinions.append(Opinion(name, problem))
                continue
            engine = make_engine(name, self.params.models)
            feature = feature_of(engine, self.encoder)
            usable = census.without(list(self.shelf.left_out(census, feature)))
            place = self.place / SECOND / name
            place.mkdir(parents=True)
            try:
                self._fit(usable, engine, feature, place)
                opinions.append(Opinion(name))
            except EngineUnfit as error:
                shutil.rmtree(place)
                opinions.append(Opinion(name, str(error)))
        return opinions

    def _card(self, corpus: Corpus) -> dict[str, Any]:
        from alp_assets.version import code_version

        domains = corpus.normals.domains
        return {
            "section": str(self.section),
            "encoder": corpus.encoder,
            "normals": {name: int((domains == name).sum()) for name in (SOURCE, TARGET)},
            "packages": corpus.packages,
            "data_hash": hashlib.sha256("\n".join(sorted(corpus.normals.recordings)).encode()).hexdigest(),
            "parameters": self.params.model_dump(
                mode="json", include={"clips", "embeddings", "models", "decision", "sensitivity"}
            ),
            "code_version": code_version(),
        }

    def _signal_card(self, census: Census) -> dict[str, Any]:
        """What only a model of signals has in its card: what was measured at which rate, and what is masked."""
        if census.modality == SOUND:
            return {}
        signal = {
            "modality": census.modality,
            "sample_rate_hz": census.sample_rate_hz,
            "clip_points": self.params.signals.clip_points,
            "masked": sorted(self.params.signals.masked),
        }
        return {"signal": signal}

    def _clip_seconds(self, census: Census) -> float:
        if census.modality == SOUND:
            return CLIP_SECONDS
        return self.params.signals.clip_points / census.sample_rate_hz


def _summary(plans: list[Plan], part: Path, sections: list[Section]) -> Summary:
    rows = []
    for plan, section in zip(plans, sections, strict=True):
        threshold = read_threshold(part / section.folder) if plan.engine else {}
        rows.append(
            {
                "section": f"{section.machine_type}/{section.section_id}",
                "engine": plan.engine or "none",
                "letter": plan.letter,
                "encoder": plan.encoder if plan.engine else "",
                "why": plan.reason,
                "source_normals": plan.source_normals,
                "target_normals": plan.target_normals,
                "threshold": threshold.get("value"),
                "promised_false_alarms": threshold.get("promised"),
                "alarm_rule": _rule(threshold),
                "second_opinions": "; ".join(map(str, plan.second_opinions)),
            }
        )
    fitted = sum(bool(plan.engine) for plan in plans)
    figures: dict[str, int | float | str] = {
        "sections": len(plans),
        "fitted": fitted,
        "without_model": len(plans) - fitted,
        "normals": sum(plan.source_normals + plan.target_normals for plan in plans),
    }
    gates = (earlier_normals(plans), experts_in_use(plans, part, sections))
    return Summary("models", figures, gates, {"sections": pd.DataFrame(rows)})


def _rule(threshold: dict[str, Any]) -> str:
    if not threshold:
        return ""
    rule = threshold["persistence"]
    words = f"{rule[0]} of {rule[1]} clips" if rule else "every clip above"
    return f"{words}, extrapolated" if threshold["extrapolated"] else words
