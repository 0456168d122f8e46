"""The heartbeats of a training in Dagster, as they come and not only when the run is over.

What an asset function logs as events is written when the function returns, which for a training may be days. So
these are reported to the instance at once, beside the run, whose identity they carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from alp_assets.assets.running import Metadata
from schemas.sections import Section

if TYPE_CHECKING:
    from alp_assets.engines.time_moe.heartbeat import Beat

COLLAPSE_CHECK = "experts_in_use"
"""The asset check that the stage's own gate is shown as at the end."""


def heartbeat_watch(context: dg.AssetExecutionContext) -> Callable[[Section, Beat], None]:
    """What shows heartbeats on the asset of a run: observations and log lines, and idle experts as warnings."""

    def watch(section: Section, beat: Beat) -> None:
        told = beat_metadata(section, beat) | {"run": context.run_id}
        report, key, partition = (
            context.instance.report_runless_asset_event,
            context.asset_key,
            context.partition_key,
        )
        report(dg.AssetObservation(key, partition=partition, metadata=told, description=_in_words(section, beat)))
        if not beat.collapsed:
            context.log.info(_in_words(section, beat))
            return
        text = (
            f"{section}: experts of Time-MoE that hardly anything goes to: "
            f"{', '.join(f'{expert} of layer {layer}' for layer, expert in beat.collapsed)}, counted from 0."
        )
        context.log.warning(f"{_in_words(section, beat)} {text}")
        report(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=COLLAPSE_CHECK,
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=text,
                metadata={"collapsed": len(beat.collapsed), "step": beat.step},
                blocking=True,
                partition=partition,
            )
        )

    return watch


def beat_metadata(section: Section, beat: Beat) -> Metadata:
    """The figures of a heartbeat; Dagster plots the numbers over time."""
    usage = [share for layer in beat.expert_usage for share in layer]
    figures: Metadata = {
        "section": str(section),
        "step": beat.step,
        "training_hours": beat.seconds / 3600,
        "loss": beat.loss,
        "normal_score": beat.normal_score,
        "threshold": beat.threshold,
        "threshold_by": beat.basis,
        "huber_delta": beat.huber_delta,
        "least_used_expert": min(usage, default=0.0),
        "collapsed_experts": len(beat.collapsed),
        "checkpoint": beat.checkpoint,
    }
    if beat.found is not None:
        figures |= {
            "f_half": beat.found.f_half,
            "f1": beat.found.f1,
            "precision": beat.found.precision,
            "recall": beat.found.recall,
        }
    return {name: value for name, value in figures.items() if value != ""}


def _in_words(section: Section, beat: Beat) -> str:
    f1 = f", F1 {beat.found.f1:.3f}" if beat.found is not None else ""
    return f"{section}: step {beat.step:,}, loss {beat.loss:.4f}, threshold {beat.threshold:.4g}{f1}."
