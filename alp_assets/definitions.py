"""What Dagster loads. Wiring only."""

from __future__ import annotations

import dagster as dg

from alp_assets.assets.job import assets, onboard
from alp_assets.assets.workplace import Workplace
from alp_assets.checks.gates import gates
from sensors.failures import failures
from sensors.uploads import uploads

defs = dg.Definitions(
    assets=assets,
    asset_checks=gates,
    jobs=[onboard],
    sensors=[uploads, failures],
    resources={"workplace": Workplace()},
    executor=dg.in_process_executor,
)
