"""Asset quality."""

import dagster as dg

from alp_assets.assets.metadata import metadata
from alp_assets.assets.pictures import levels
from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset, schema_metadata
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(
    group_name="intake",
    partitions_def=packages,
    deps=[metadata],
    owners=OWNERS,
    kinds={"pandas", "greatexpectations"},
)
def quality(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """Every recording measured, and set aside where it cannot serve."""
    return run_stage_asset(context, workplace, "quality", _show)


def _show(folder: PackageFolder, summary: Summary) -> Metadata:
    from alp_assets.stages.quality import DATA_DOCS, read_quality
    from schemas.tables import QUALITY

    shown: Metadata = {
        "dagster/column_schema": schema_metadata(QUALITY),
        "dagster/partition_row_count": summary.figures["recordings"],
        "levels": levels(read_quality(folder)),
    }
    docs = folder.stage("quality") / DATA_DOCS / "index.html"
    if docs.is_file():
        shown["data_docs"] = dg.MetadataValue.path(docs)
    return shown
