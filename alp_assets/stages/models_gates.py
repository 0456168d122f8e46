"""The gates of the stage models: warnings, none of which stops a package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alp_assets.engines.store import CARD_FILE
from alp_assets.files import read_json
from alp_assets.stages.summary import Gate
from schemas.sections import Section

if TYPE_CHECKING:
    from alp_assets.stages.models import Plan


def experts_in_use(plans: Sequence[Plan], part: Path, sections: Sequence[Section]) -> Gate:
    """Whether a network with experts made use of all of them; one that gets nothing to learn stays as it began."""
    idle, trained = {}, 0
    for plan, section in zip(plans, sections, strict=True):
        card = read_json(part / section.folder / CARD_FILE) if plan.engine else {}
        training = card.get("settings", {}).get("training", {})
        if "collapsed_experts" in training:
            trained += 1
            if training["collapsed_experts"]:
                idle[plan.section] = len(training["collapsed_experts"])
    figures: dict[str, int | float | str] = {"trained": trained, "collapsed": sum(idle.values())}
    if not idle:
        text = "All experts of Time-MoE are in use." if trained else "No network with experts was trained."
        return Gate("experts_in_use", "passed", text, figures)
    named = "; ".join(f"{name}: {count}" for name, count in idle.items())
    text = f"Experts of Time-MoE that hardly anything goes to: {named}. Train longer, or begin with another seed."
    return Gate("experts_in_use", "warned", text, figures)


def earlier_normals(plans: Sequence[Plan]) -> Gate:
    """Whether the normals of the customer's earlier packages could be used."""
    left = {plan.section: plan.left_out for plan in plans if plan.left_out}
    figures: dict[str, int | float | str] = {"sections": len(plans), "without_earlier": len(left)}
    if not left:
        return Gate("earlier_normals", "passed", "No normals of earlier packages were left out.", figures)
    named = "; ".join(f"{name} without those of {', '.join(reasons)}" for name, reasons in left.items())
    text = f"Normals of earlier packages were left out: {named}. Then run the stage models of this package again."
    return Gate("earlier_normals", "warned", text, figures)
