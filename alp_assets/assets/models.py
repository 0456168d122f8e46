"""Asset models."""

import dagster as dg

from alp_assets.assets.embeddings import embeddings
from alp_assets.assets.heartbeats import heartbeat_watch
from alp_assets.assets.running import OWNERS, Metadata, run_stage_asset
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary


@dg.asset(group_name="detection", partitions_def=packages, deps=[embeddings], owners=OWNERS, kinds={"numpy"})
def models(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> dg.MaterializeResult[None]:
    """A fitted engine and a threshold for every section that has normals."""
    return run_stage_asset(context, workplace, "models", _show, watch=heartbeat_watch(context))


def _show(folder: PackageFolder, _: Summary) -> Metadata:
    from alp_assets.assets.registered import registered_metadata

    return registered_metadata(folder)
