"""The job that versions what waits: refused packages, and what a snapshot or a copy could not do."""

import dagster as dg

from alp_assets.assets.running import plain_failures
from alp_assets.assets.workplace import Workplace
from alp_assets.home import keep_caches_in


@dg.op(description="One snapshot of all packages that wait, and one copy of all that the remotes lack.")
def take_versions(context: dg.OpExecutionContext, workplace: dg.ResourceParam[Workplace]) -> None:
    """Version and copy what waits.

    Raises:
        Failure: something goes on waiting; the text says what and why.
    """
    from alp_assets.versions.snapshot import snapshot_all

    keep_caches_in(workplace.data_root)
    with plain_failures():
        taken = snapshot_all(workplace.data_root, [], workplace.params())
    problems = [f"{key}: {answer.problem}" for key, answer in taken.packages.items() if not answer.taken]
    problems += [taken.problem] if taken.problem else []
    context.add_output_metadata(
        {
            "versioned": sum(answer.taken for answer in taken.packages.values()),
            "copied": len(taken.copied),
        }
    )
    if problems:
        raise dg.Failure("; ".join(problems), allow_retries=False)


@dg.job(description="Versions what no package's own run did: refused packages, and what failed.")
def catch_up_versions() -> None:
    """Take and copy the versions that wait."""
    take_versions()
