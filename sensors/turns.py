"""Whose turn it is: the order in which waiting packages of several customers are worked on.

Dagster serves the queue by priority and then by age, so a customer who sends a thousand packages would go before
everybody who comes later. Here every package gets a turn, and its priority is the turn's negative: one turn after
its customer's last package, and no earlier than what is being worked on (start-time fair queueing: Goyal, Vin and
Cheng 1996, with every package of the same length). So customers who wait take turns, each as fast as if the others
had just as many packages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

TURN = "alp/turn"
PRIORITY = "dagster/priority"

_WORKED_ON = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
_WAITING = [DagsterRunStatus.QUEUED]
_LAST = 5  # a run that was tried again has the turn of its first try, so the youngest may not have the last turn
_MOST = 1000


def turn_tags(instance: DagsterInstance, customers: Sequence[str]) -> list[dict[str, str]]:
    """Tags for the runs of some packages that have just arrived, given by their customers, in the same order."""
    at_work = _at_work(instance) if customers else 0
    following: dict[str, int] = {}
    tags = []
    for customer in customers:
        if customer not in following:
            following[customer] = _last_turn(instance, customer) + 1
        turn = max(at_work, following[customer])
        following[customer] = turn + 1
        tags.append({TURN: str(turn), PRIORITY: str(-turn)})
    return tags


def _at_work(instance: DagsterInstance) -> int:
    """The latest turn among packages that are being worked on; the next one's where there is none."""
    if now := list(_turns(instance.get_runs(RunsFilter(statuses=_WORKED_ON)))):
        return max(now)
    return min(_turns(instance.get_runs(RunsFilter(statuses=_WAITING), limit=_MOST)), default=0)


def _last_turn(instance: DagsterInstance, customer: str) -> int:
    return max(_turns(instance.get_runs(RunsFilter(tags={"customer": customer}), limit=_LAST)), default=-1)


def _turns(runs: Iterable[DagsterRun]) -> Iterable[int]:
    for run in runs:
        turn = run.tags.get(TURN, "")
        if turn.isdigit():
            yield int(turn)
