"""Asset versioned: the last of the job."""

from collections.abc import Iterator

import dagster as dg

from alp_assets.assets.report import report
from alp_assets.assets.running import OWNERS, Metadata
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.home import keep_caches_in
from alp_assets.store.base import store_of

SNAPSHOT_TAKEN = "snapshot_taken"


@dg.asset(
    group_name="detection",
    partitions_def=packages,
    deps=[report],
    owners=OWNERS,
    kinds={"dvc"},
    check_specs=[
        dg.AssetCheckSpec(
            SNAPSHOT_TAKEN,
            asset="versioned",
            description="DVC holds the package and its model versions, and so does the remote where there is one. "
            "A failure never undoes the detection.",
            partitions_def=packages,
        )
    ],
)
def versioned(
    context: dg.AssetExecutionContext, workplace: dg.ResourceParam[Workplace]
) -> Iterator[dg.MaterializeResult[None]]:
    """The package folder and its model versions under DVC, one `.dvc` file each."""
    from alp_assets.errors import SnapshotFailed
    from alp_assets.versions.snapshot import snapshot

    keep_caches_in(workplace.data_root)
    params = workplace.params()
    if not params.versioned.enabled:
        yield _result(None, True, {}, "Snapshots are switched off (versioned.enabled).")
        return
    store = store_of(workplace.data_root)
    if store.mirrors:
        lacking = store.lacks_versions()
        if lacking:
            context.log.warning(lacking)
        kept = "The data root is a bucket: its own versioning keeps what was there before."
        yield _result(None, not lacking, {}, lacking or kept)
        return
    try:
        taken = snapshot(workplace.folder(context.partition_key), params)
    except SnapshotFailed as error:
        context.log.warning(str(error))
        yield _result(None, False, {}, str(error))
        return
    figures: Metadata = {
        "content_hash": taken.content_hash,
        "model_versions": taken.models,
        "pushed": taken.pushed,
        "repository": dg.MetadataValue.path(taken.repository),
        **({"revision": taken.revision} if taken.revision else {}),
    }
    if taken.problem:
        context.log.warning(taken.problem)
    yield _result(taken.content_hash, not taken.problem, figures, taken.problem or "Under DVC.")


def _result(version: str | None, passed: bool, figures: Metadata, text: str) -> dg.MaterializeResult[None]:
    check = dg.AssetCheckResult(
        check_name=SNAPSHOT_TAKEN, passed=passed, severity=dg.AssetCheckSeverity.WARN, description=text
    )
    return dg.MaterializeResult(
        metadata=figures, data_version=dg.DataVersion(version) if version else None, check_results=[check]
    )
