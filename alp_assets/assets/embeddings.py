"""Asset embeddings."""

import dagster as dg

from alp_assets.assets.clips import clips
from alp_assets.assets.running import OWNERS, run_stage_asset
from alp_assets.assets.workplace import Workplace, packages


@dg.asset(group_name="detection", partitions_def=packages, deps=[clips], owners=OWNERS, kinds={"numpy"})
def embeddings(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """Every clip through the encoder, once."""
    return run_stage_asset(context, workplace, "embeddings")
