"""What Dagster loads. Wiring only."""

from __future__ import annotations

import dagster as dg

from alp_assets.assets.catching_up import catch_up_versions
from alp_assets.assets.job import assets, onboard
from alp_assets.assets.processes import in_process_executor
from alp_assets.assets.workplace import Workplace
from alp_assets.checks.gates import gates
from alp_assets.watch.logs import set_up
from sensors.failures import failures
from sensors.findings import findings
from sensors.freshness import customers, fresh, freshness
from sensors.notices import notices
from sensors.upkeep import upkeep
from sensors.uploads import uploads
from sensors.versions import versions

set_up()  # this process may be a run's, a sensor's or a worker's: none begins in code of ALP

defs = dg.Definitions(
    assets=[*assets, customers],
    asset_checks=[*gates, fresh],
    jobs=[onboard, catch_up_versions],
    sensors=[uploads, failures, findings, freshness, notices, upkeep, versions],
    resources={"workplace": Workplace()},
    executor=in_process_executor,
)
