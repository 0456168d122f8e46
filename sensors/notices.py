"""The sensor that delivers notices by webhook and mail."""

import dagster as dg

from alp_assets.assets.workplace import Workplace
from alp_assets.watch.delivery import deliver
from alp_assets.watch.notices import Outbox

INTERVAL_S = 30


@dg.sensor(
    name="notices",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers what lies in watch/outbox; what a receiver does not take is tried again, ever later.",
)
def notices(context: dg.SensorEvaluationContext, workplace: dg.ResourceParam[Workplace]) -> dg.SkipReason:
    """Deliver the notices that are due."""
    params = workplace.params().notices
    outbox = Outbox(workplace.data_root)
    if not params.wanted:
        return dg.SkipReason("Nobody is to be told (notices.webhook and notices.mail_server are empty).")
    result = deliver(workplace.data_root, params)
    for error in result.errors:
        context.log.warning(error)
    return dg.SkipReason(f"{result.done} delivered, {outbox.counts()}.")
