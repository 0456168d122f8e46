"""Customers who wait take turns."""

from itertools import islice

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from sensors.turns import PRIORITY, TURN, turn_tags

QUEUED = dg.DagsterRunStatus.QUEUED
STARTED = dg.DagsterRunStatus.STARTED
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("alp"), "__repository__"), "onboard")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def wait(instance, **tags):
    create_run_for_test(instance, tags=tags, status=QUEUED, remote_job_origin=ORIGIN)


def arrive(instance, *customers):
    """Queue a package of each customer, all having arrived in the same tick."""
    for customer, tags in zip(customers, turn_tags(instance, customers), strict=True):
        wait(instance, customer=customer, **tags)


def queued(instance):
    """The customers in the order in which Dagster serves them: by priority, then by age."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[QUEUED]), ascending=True)
    return sorted(runs, key=lambda run: -int(run.tags[PRIORITY]))


def serve(instance):
    """End what is being worked on and start the next in the queue; its customer."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[STARTED])):
        happen(instance, run, dg.DagsterEventType.RUN_SUCCESS)
    run = queued(instance)[0]
    happen(instance, run, dg.DagsterEventType.RUN_START)
    return run.tags["customer"]


def happen(instance, run, kind):
    instance.run_storage.handle_run_event(
        run.run_id, dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
    )


def served(instance, count):
    return "".join(islice(iter(lambda: serve(instance), None), count))


def test_who_comes_after_a_thousand_of_another_is_served_next(instance):
    arrive(instance, *"a" * 20)
    assert served(instance, 5) == "aaaaa"
    arrive(instance, *"bb")
    assert served(instance, 5) == "babaa"


def test_three_who_all_have_much_take_turns_whoever_came_first(instance):
    arrive(instance, *"a" * 9)
    arrive(instance, *"b" * 9)
    arrive(instance, *"c" * 9)
    order = served(instance, 18)
    assert all(order[:length].count(who) <= length // 3 + 1 for length in range(1, 19) for who in "abc")


def test_a_late_customer_does_not_get_back_the_turns_before_it_came(instance):
    arrive(instance, *"a" * 30)
    served(instance, 15)
    arrive(instance, *"b" * 15)
    assert sorted(served(instance, 10)) == sorted("aaaaabbbbb")


def test_one_alone_is_served_in_the_order_of_arrival_and_a_pause_earns_nothing(instance):
    arrive(instance, "a")
    served(instance, 1)
    happen(instance, instance.get_runs()[0], dg.DagsterEventType.RUN_SUCCESS)
    arrive(instance, *"ab")
    assert served(instance, 2) in ("ab", "ba")


def test_a_package_that_is_tried_again_keeps_its_turn_and_costs_the_customer_none(instance):
    arrive(instance, *"aaa")
    first = queued(instance)[0]
    happen(instance, first, dg.DagsterEventType.RUN_FAILURE)
    wait(instance, **first.tags)  # Dagster's retries copy the tags
    assert turn_tags(instance, ["a"])[0][TURN] == "3"
    assert queued(instance)[0].tags[TURN] == first.tags[TURN]


def test_runs_that_people_start_by_hand_have_no_turn_and_break_nothing(instance):
    wait(instance, customer="a")
    create_run_for_test(instance, tags={TURN: "soon"}, status=STARTED)
    assert turn_tags(instance, ["a"]) == [{TURN: "0", PRIORITY: "0"}]
    assert turn_tags(instance, []) == []
