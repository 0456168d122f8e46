"""When a customer counts as silent."""

from __future__ import annotations

import pytest

from alp_assets.watch.freshness import freshness
from alp_assets.watch.packages import Package
from alp_assets.watch_params import FreshnessParams
from tests.watch.roots import DAY, NOW


def sent(customer, *days_ago):
    return [Package(customer, f"p{number}", NOW - days * DAY) for number, days in enumerate(days_ago)]


def measured(packages, **params):
    return {item.customer: item for item in freshness(packages, FreshnessParams(**params), NOW)}


def test_the_usual_interval_is_the_median_one():
    found = measured(sent("acme", 100, 93, 86, 40, 33))["acme"]
    assert found.usual_days == pytest.approx(7)
    assert found.allowed_days == pytest.approx(21)
    assert found.silent_days == pytest.approx(33)
    assert found.overdue


def test_somebody_who_sends_as_usual_is_not_overdue():
    assert not measured(sent("acme", 33, 26, 19, 12, 5))["acme"].overdue


def test_too_few_packages_tell_nothing():
    found = measured(sent("acme", 300, 200, 100))["acme"]
    assert found.usual_days is None
    assert not found.overdue


def test_a_fixed_limit_goes_before_what_is_usual():
    packages = sent("acme", 300) + sent("rival", 33, 26, 19, 12, 5)
    found = measured(packages, max_days=10)
    assert found["acme"].overdue
    assert not found["rival"].overdue


def test_both_can_be_off():
    assert not measured(sent("acme", 400, 399, 398, 397), times_usual=0)["acme"].overdue


def test_deliveries_in_parts_are_no_hourly_habit():
    assert not measured(sent("acme", 2.3, 2.2, 2.1, 2.0))["acme"].overdue


def test_a_package_from_the_future_is_not_silence():
    assert measured(sent("acme", -3))["acme"].silent_days == 0


def test_who_is_silent_for_too_long_comes_first():
    packages = (
        sent("a-fresh", 33, 26, 19, 12, 5) + sent("b-late", 99, 98, 97, 96) + sent("c-later", 199, 198, 197, 196)
    )
    assert [item.customer for item in freshness(packages, FreshnessParams(), NOW)] == [
        "c-later",
        "b-late",
        "a-fresh",
    ]
