"""The gates of the stages as asset checks.

Each shows what the stage itself found (``summary.json`` in its folder): a failed gate stops the
package's run, a warning is shown and the run goes on. The checks carry the partitions of the assets, so
a bad package stops alone.
"""

import dagster as dg

from alp_assets.assets.running import plain, plain_failures
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.errors import StageMissing

GATES = (
    ("metadata", "contract_holds", "The table could be read and rows of it hold the data contract."),
    ("quality", "audio_quality", "Recordings, and among them normal ones where some were sent, can be used."),
    ("quality", "signal_to_noise", "Recordings stand out of the background, as noise-only recordings show it."),
    ("quality", "mains_hum", "Recordings are free of the mains' hum."),
    ("quality", "wind_and_handling", "Recordings are free of gusts of wind and thumps of handling."),
    ("quality", "clipping", "Recordings are not clipped."),
    ("quality", "steady_gain", "The gain stays the same over the recordings of a machine, and inside them."),
    ("quality", "near_copies", "No recording is a copy of another, scaled, shifted or encoded anew."),
    ("quality", "right_section", "No recording sounds more like another machine than like its own."),
    ("quality", "drift", "Machines sound as they did in the customer's earlier packages."),
    ("clips", "standard_form", "Every clip on disk has the standard form of sound, or of signals."),
    ("clips", "enough_normals", "Every section has the normal clips that an engine needs."),
    ("models", "earlier_normals", "The normals of the customer's earlier packages could be used."),
    ("models", "experts_in_use", "No expert of Time-MoE was left out while it was trained."),
    ("scores", "scores_complete", "Every clip that should have a score has a finite one."),
    ("scores", "false_alarm_promise", "Unseen normals are above the threshold no more often than was promised."),
    ("scores", "kpi", "Every section reaches what was agreed, as far as the labels can show."),
)


def _gate_check(stage: str, gate: str, description: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=stage, name=gate, description=description, blocking=True, partitions_def=packages)
    def check(
        context: dg.AssetCheckExecutionContext, workplace: dg.ResourceParam[Workplace]
    ) -> dg.AssetCheckResult:
        with plain_failures():
            folder = workplace.folder(context.partition_key)
            summary = folder.summary(stage)
            if summary is None:
                raise StageMissing(f"{folder.key}: the stage {stage} has not run.")
        found = next(item for item in summary["gates"] if item["name"] == gate)
        severity = dg.AssetCheckSeverity.ERROR if found["status"] == "failed" else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            passed=found["status"] == "passed",
            severity=severity,
            description=found["text"],
            metadata=plain(found["figures"]),
        )

    return check


gates = [_gate_check(*gate) for gate in GATES]
