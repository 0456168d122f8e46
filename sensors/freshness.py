"""Customers who used to send packages and have been silent for too long: a check, and a sensor that makes it.

Dagster's freshness policies look at the last materialization of an asset, whichever partition that was of, so
one busy customer would hide all silent ones. ALP counts by customer instead and reports one check.
"""

import json
import time
from collections.abc import Sequence

import dagster as dg

from alp_assets.assets.running import OWNERS
from alp_assets.assets.workplace import Workplace
from alp_assets.params import Params
from alp_assets.watch.freshness import Freshness
from alp_assets.watch.freshness import freshness as measure
from alp_assets.watch.notices import Outbox
from alp_assets.watch.packages import Packages
from schemas.texts import read_texts

INTERVAL_S = 3_600
FRESH = "fresh"
_SHOWN = 100

customers = dg.AssetSpec(
    "customers",
    group_name="watch",
    owners=OWNERS,
    kinds={"alp"},
    description="Who sends packages. Its check says who has been silent for too long.",
)


@dg.asset_check(asset="customers", name=FRESH, description="No customer has been silent for too long.")
def fresh(workplace: dg.ResourceParam[Workplace]) -> dg.AssetCheckResult:
    """Look now, from Dagster's pages."""
    found = _look(workplace, workplace.params())
    return dg.AssetCheckResult(
        passed=not _overdue(found),
        severity=dg.AssetCheckSeverity.WARN,
        description=_told(found),
        metadata={"customers": _table(found), "overdue": len(_overdue(found))},
    )


@dg.sensor(
    name="freshness",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks every hour for customers who have been silent for too long.",
)
def freshness(context: dg.SensorEvaluationContext, workplace: dg.ResourceParam[Workplace]) -> dg.SensorResult:
    """Report the check when its result has changed, and tell of every silence once."""
    params = workplace.params()
    found = _look(workplace, params)
    overdue = {item.customer: item.last for item in _overdue(found)}
    before = _before(context.cursor)
    outbox = Outbox(workplace.data_root)
    for item in _overdue(found):
        if before is None or before.get(item.customer) != item.last:
            # one notice for each silence: it has begun with the last package
            outbox.put(
                params.notices, "silent", _sentence(item, params), customer=item.customer, about=str(item.last)
            )
    if overdue == before:
        return dg.SensorResult(skip_reason=_told(found), cursor=context.cursor)
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("customers"),
        check_name=FRESH,
        passed=not overdue,
        severity=dg.AssetCheckSeverity.WARN,
        description=_told(found),
        metadata={"customers": _table(found), "overdue": len(overdue)},
    )
    return dg.SensorResult(asset_events=[evaluation], cursor=json.dumps(overdue))


def _look(workplace: Workplace, params: Params) -> list[Freshness]:
    return measure(Packages(workplace.data_root).look(), params.freshness, time.time())


def _overdue(found: Sequence[Freshness]) -> list[Freshness]:
    return [item for item in found if item.overdue]


def _before(cursor: str | None) -> dict[str, float] | None:
    """Who was silent at the last look; ``None`` before the first, and where the cursor cannot be read."""
    try:
        found = json.loads(cursor) if cursor else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _told(found: Sequence[Freshness]) -> str:
    names = [item.customer for item in _overdue(found)]
    if not names:
        return f"None of {len(found)} customers has been silent for too long."
    return f"Silent for too long: {', '.join(names[:_SHOWN])}."


def _sentence(item: Freshness, params: Params) -> str:
    texts = read_texts("notices", params.notices.language)["texts"]
    text = texts["silent_fixed" if params.freshness.max_days else "silent"]
    return str(text.format(days=item.silent_days, usual=item.usual_days or 0.0, allowed=item.allowed_days or 0.0))


def _table(found: Sequence[Freshness]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "customer": item.customer,
                "packages": item.packages,
                "silent_days": round(item.silent_days, 1),
                "usual_days": "" if item.usual_days is None else round(item.usual_days, 1),
                "allowed_days": "" if item.allowed_days is None else round(item.allowed_days, 1),
                "overdue": item.overdue,
            }
        )
        for item in found[:_SHOWN]
    ]
    columns = [
        dg.TableColumn("customer"),
        dg.TableColumn("packages", "int"),
        dg.TableColumn("silent_days", "float"),
        dg.TableColumn("usual_days"),
        dg.TableColumn("allowed_days"),
        dg.TableColumn("overdue", "bool"),
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))
