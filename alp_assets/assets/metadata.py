"""Asset metadata."""

import dagster as dg

from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset, schema_metadata
from alp_assets.assets.upload import upload
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(group_name="intake", partitions_def=packages, deps=[upload], owners=OWNERS, kinds={"pandas", "parquet"})
def metadata(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """The customer's table brought to the contract; every row with its recording."""
    return run_stage_asset(context, workplace, "metadata", _show)


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    from schemas.metadata import METADATA

    return {
        "dagster/column_schema": schema_metadata(METADATA),
        "dagster/partition_row_count": summary.figures["rows"],
        "problems_file": dg.MetadataValue.path(folder.stage("metadata") / "problems.csv"),
    }
