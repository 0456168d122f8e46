"""Asset clips."""

import dagster as dg

from alp_assets.assets.quality import quality
from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset, schema_metadata
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(group_name="intake", partitions_def=packages, deps=[quality], owners=OWNERS, kinds={"parquet"})
def clips(context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]) -> dg.MaterializeResult[None]:
    """Every accepted recording in standard form: mono, 16 kHz, 10 s, PCM16."""
    return run_stage_asset(context, workplace, "clips", _show)


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    from schemas.tables import CLIPS

    return {
        "dagster/column_schema": schema_metadata(CLIPS),
        "dagster/partition_row_count": summary.figures["clips"],
    }
