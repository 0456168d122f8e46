"""Asset report."""

import dagster as dg

from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset
from alp_assets.assets.scores import scores
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(group_name="detection", partitions_def=packages, deps=[scores], owners=OWNERS, kinds={"html"})
def report(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """One page for people: what was received, what was set aside and why, what was found."""
    return run_stage_asset(context, workplace, "report", _show)


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    return {"report": dg.MetadataValue.path(folder.stage("report") / "report.html")}
