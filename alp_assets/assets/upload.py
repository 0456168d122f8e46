"""Asset upload."""

from pathlib import Path

import dagster as dg

from alp_assets.assets.running import OWNERS, run_stage_asset
from alp_assets.assets.workplace import Workplace, packages


class UploadConfig(dg.Config):
    """Where the zip is, when it is not in the inbox under the package's name."""

    archive: str = ""
    original_name: str = ""


@dg.asset(group_name="intake", partitions_def=packages, owners=OWNERS, kinds={"file"})
def upload(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace], config: UploadConfig
) -> dg.MaterializeResult[None]:
    """The customer's zip, kept byte for byte, with its receipt."""
    return run_stage_asset(
        context,
        workplace,
        "upload",
        archive=Path(config.archive) if config.archive else None,
        original_name=config.original_name or None,
    )
