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
    return run_stage_asset(context, workplace, "scores", _show)


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    from alp_assets.stages.scores import read_scores
    from schemas.tables import SCORES

    return {
        "dagster/column_schema": schema_metadata(SCORES),
        "dagster/partition_row_count": summary.figures["clips"],
        "distribution": score_strips(read_scores(folder)),
    }
