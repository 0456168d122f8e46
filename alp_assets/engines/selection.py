"""Which engine a section gets, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from alp_assets.encoders.base import Feature
from alp_assets.engines.base import Engine, Strings
from alp_assets.engines.catalog import feature_of, make_engine
from alp_assets.engines.episodic.episodes import carrying_conditions
from alp_assets.params import SIGNAL_ENGINES, SOUND_ENGINES, ModelParams
from schemas.modalities import SOUND

BANKS_ALWAYS = ("logmel", "alp_conv")
"""Encoders on which banks tell more than patches, however few the normals are (see ``bench/engines``)."""


@dataclass(frozen=True)
class Situation:
    """What a section has: its normals' counts, conditions (n,) by column and recordings (n,).

    ``encoder`` is the one for engines A and B; ``modality`` is what its recordings hold.
    """

    source_normals: int
    target_normals: int
    encoder: str
    conditions: Mapping[str, Strings]
    recordings: Strings
    modality: str = SOUND

    @property
    def signals(self) -> bool:
        """Whether the recordings hold a signal instead of sound."""
        return self.modality != SOUND

    @property
    def amount(self) -> str:
        """The counts in words."""
        return f"{self.target_normals} target and {self.source_normals} source normals"


@dataclass(frozen=True)
class Choice:
    """An engine, what it works on, and the reason for it, in words for people.

    ``problem`` says why an engine that was asked for cannot be taken.
    """

    engine: Engine
    feature: Feature
    reason: str
    problem: str = ""


def wanted_engine(params: ModelParams, customer: str, package: str) -> tuple[str, str]:
    """What the parameters ask for (an engine, ``auto`` or ``auto+c``), and where they say so."""
    for name, about in ((f"{customer}/{package}", "package"), (customer, "customer")):
        if name in params.pins:
            return params.pins[name], f"pinned for this {about}"
    return params.engine, "asked for in the parameters"


def choose_engine(params: ModelParams, customer: str, package: str, section: Situation) -> Choice:
    """The engine that was pinned or asked for, else the one that the section's data allow.

    Few target normals and little source: patches of a pretrained encoder against a handful of normals (A).
    From ``selection.much_source`` source normals on, or with target normals enough: banks (B). Without
    weights that somebody brought B stands in for A, because on real motors it tells more than A on patches of
    ``logmel`` or ``alp_conv`` (see ``bench/engines``). C only where ``auto+c`` asks for it and the metadata
    carry it.

    For signals: how the mains' harmonics and sidebands lie (S3), which few normals bear and which tells most on
    real motors (see ``bench/signals``); Time-MoE (S1) only from ``selection.much_signal`` normals on, as it has to
    be trained. An engine for sound that was asked for by name is refused for signals, and the reverse.
    """
    wanted, by = wanted_engine(params, customer, package)
    if wanted not in ("auto", "auto+c"):
        problem = unsuited(wanted, section.modality)
        return replace(_choice(params, wanted, section, f"{wanted} was {by}"), problem=problem)
    rules = params.selection
    if section.signals:
        return _for_signals(params, section)
    tasks, why_not = carrying_conditions(
        section.conditions,
        k_shot=params.meta_prototype.k_shot,
        recordings=section.recordings,
        share=rules.metadata_share,
        values=rules.condition_values,
    )
    enough = section.source_normals >= rules.much_source
    able = bool(tasks) and enough
    if wanted == "auto+c" and able:
        reason = f"auto+c: {', '.join(tasks)} say enough of the conditions, and there are {section.amount}"
        return _choice(params, "meta_prototype", section, reason)
    note = ""
    if wanted == "auto+c":
        missing = f"it needs {rules.much_source} source normals"
        if not tasks:
            missing = f"the metadata do not carry it ({'; '.join(why_not.values())})"
        note = f"; meta_prototype was not taken: {missing}"
    elif able:
        note = f"; the metadata ({', '.join(tasks)}) would carry meta_prototype, which `auto+c` allows"
    if section.target_normals >= rules.few_target or enough:
        many = f"{rules.much_source} source" if enough else f"{rules.few_target} target"
        reason = f"banks are worth filling from {many} normals on (here {section.amount})"
        return _choice(params, "memory_bank", section, reason + note)
    if section.encoder in BANKS_ALWAYS:
        reason = (
            f"few normals ({section.amount}) and {section.encoder} embeddings: nearest neighbours tell most on "
            "them (patches need a large pretrained encoder, see `alp weights add`)"
        )
        return _choice(params, "memory_bank", section, reason + note)
    reason = f"few normals ({section.amount}): patches of {section.encoder} need no training"
    return _choice(params, "patch_memory", section, reason + note)


def unsuited(engine: str, modality: str) -> str:
    """Why an engine cannot work on recordings of a modality; empty where it can."""
    if (engine in SIGNAL_ENGINES) == (modality != SOUND):
        return ""
    able = SOUND_ENGINES if modality == SOUND else SIGNAL_ENGINES
    takes = "sound" if modality != SOUND else "signals"
    return (
        f"{engine} works on {takes}, and the recordings of this machine hold {modality}. Choose auto or "
        f"{' or '.join(able)} for it, by models.pins if only this package or customer needs it"
    )


def features_needed(
    params: ModelParams, customer: str, package: str, encoder: str, *, some_few: bool = True
) -> list[Feature]:
    """All that the engines for sound which the parameters allow for a package may work on.

    ``some_few`` says whether a section may have so few normals that ``auto`` takes patches, which are large.
    """
    wanted, _ = wanted_engine(params, customer, package)
    names = [wanted]
    if wanted in ("auto", "auto+c"):
        names = ["memory_bank"]
        names += ["patch_memory"] if encoder not in BANKS_ALWAYS and some_few else []
        names += ["meta_prototype"] if wanted == "auto+c" else []
    wanted_names = [name for name in (*names, *params.second_opinions) if name in SOUND_ENGINES]
    found = [feature_of(make_engine(name, params), encoder) for name in wanted_names]
    return list(dict.fromkeys(found))


def _for_signals(params: ModelParams, section: Situation) -> Choice:
    count, much = section.source_normals + section.target_normals, params.selection.much_signal
    if much and count >= much:
        reason = f"{count} normal clips of {section.modality} are enough to train a forecaster (from {much} on)"
        return _choice(params, "time_moe", section, reason)
    reason = (
        f"{section.modality}, {section.amount}: the lines of the spectrum and their sidebands tell most from few "
        "normals and need no training"
    )
    return _choice(params, "signal_spectrum", section, reason)


def _choice(params: ModelParams, name: str, section: Situation, reason: str) -> Choice:
    engine = make_engine(name, params)
    return Choice(engine, feature_of(engine, section.encoder), reason)
