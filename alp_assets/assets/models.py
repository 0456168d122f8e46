"""Asset models."""

import dagster as dg

from alp_assets.assets.embeddings import embeddings
from alp_assets.assets.running import OWNERS, run_stage_asset
from alp_assets.assets.workplace import Workplace, packages


@dg.asset(group_name="detection", partitions_def=packages, deps=[embeddings], owners=OWNERS, kinds={"numpy"})
def models(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """A fitted engine and a threshold for every section that has normals."""
    return run_stage_asset(context, workplace, "models")
