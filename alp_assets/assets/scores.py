"""Asset scores."""

import dagster as dg

from alp_assets.assets.models import models
from alp_assets.assets.pictures import score_strips
from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset, schema_metadata
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(group_name="detection", partitions_def=packages, deps=[models], owners=OWNERS, kinds={"csv"})
def scores(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """Every clip's anomaly score and decision, and the figures of merit."""
    result = run_stage_asset(context, workplace, "scores", _show)
    _observe_models(context, workplace.folder(context.partition_key))
    return result


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    from alp_assets.stages.scores import read_scores
    from schemas.tables import SCORES

    return {
        "dagster/column_schema": schema_metadata(SCORES),
        "dagster/partition_row_count": summary.figures["clips"],
        "distribution": score_strips(read_scores(folder)),
    }


def _observe_models(context: dg.AssetExecutionContext, folder: PackageFolder) -> None:
    """Show on the asset ``models`` what the scores say of them, and whether they took their sections over."""
    from alp_assets.assets.registered import registered_metadata

    found = registered_metadata(folder)
    if found:
        context.log_event(dg.AssetObservation(models.key, partition=context.partition_key, metadata=found))
