"""The policy by which later models take their sections over."""

import pytest

from alp_assets.params import PromotionParams
from alp_assets.registry.records import State
from tests.registry.conftest import FAN, FEBRUARY, JANUARY

RULE = PromotionParams()
CHAMPION = {"auc": 0.9, "pauc": 0.8}


@pytest.fixture
def champion(registry, fitted):
    found = registry.register(FAN, "february", FEBRUARY, fitted("champion", normals={"target": 10}))
    return registry.judge(found.version, CHAMPION, RULE)


def later(registry, fitted, metrics=None, received=FEBRUARY, **model):
    model.setdefault("normals", {"target": 10})
    found = registry.register(FAN, "march", received, fitted("later", **model))
    assert found.state is State.CANDIDATE
    return registry.judge(found.version, CHAMPION if metrics is None else metrics, RULE)


def test_a_model_that_is_no_worse_takes_over(registry, fitted, champion):
    found = later(registry, fitted)
    assert (found.state, found.reason) == (State.CHAMPION, f"no worse than {champion.name}")
    assert registry.get(champion.version).state is State.ARCHIVED


def test_without_labels_calibration_alone_decides(registry, fitted, champion):
    assert later(registry, fitted, metrics={}).state is State.CHAMPION


@pytest.mark.parametrize(
    ("metrics", "model", "words"),
    [
        pytest.param({"auc": 0.86, "pauc": 0.8}, {}, "AUC 0.860, the champion's 0.900", id="AUC"),
        pytest.param({"auc": 0.9, "pauc": 0.7}, {}, "partial AUC 0.700, the champion's 0.800", id="partial AUC"),
        pytest.param(
            None, {"normals": {"target": 7}}, "calibrated on 7 normals, the champion on 10", id="fewer normals"
        ),
        pytest.param(None, {"alarms_per_day": 3.0}, "promises 3 false alarms a day", id="a weaker promise"),
        pytest.param(None, {"hears": 0.0}, "hears anomalies from +0.0 dB", id="duller"),
        pytest.param(None, {"hears": None}, "hears anomalies from +18.0 dB", id="deaf"),
    ],
)
def test_a_worse_model_waits_and_the_reason_is_told(registry, fitted, champion, metrics, model, words):
    found = later(registry, fitted, metrics, **model)
    assert found.state is State.CANDIDATE
    assert words in found.reason
    assert registry.champion(FAN).version == champion.version
    event = registry.history(FAN)[0]
    assert (event.what, event.why) == ("withheld", found.reason)


@pytest.mark.parametrize(
    ("metrics", "model"),
    [
        ({"auc": 0.875, "pauc": 0.775}, {}),
        ({"auc": 0.95}, {}),
        (None, {"normals": {"source": 4, "target": 4}}),
        (None, {"alarms_per_day": 1.0}),
        (None, {"hears": -3.5}),
    ],
)
def test_what_is_within_the_tolerance_or_not_known_of_both_is_no_objection(
    registry, fitted, champion, metrics, model
):
    assert later(registry, fitted, metrics, **model).state is State.CHAMPION


def test_a_promise_that_is_not_as_asked_may_be_as_weak_as_the_champions(registry, fitted):
    registry.register(FAN, "february", FEBRUARY, fitted("champion", alarms_per_day=3.0))
    assert later(registry, fitted, alarms_per_day=3.2).state is State.CHAMPION


def test_a_pinned_champion_stays(registry, fitted, champion):
    registry.pin(champion.version, "jin", "")
    found = later(registry, fitted)
    assert (found.state, found.reason) == (State.CANDIDATE, f"the champion {champion.name} is pinned")


def test_a_model_of_a_package_received_earlier_does_not_take_over(registry, fitted, champion):
    found = later(registry, fitted, {"auc": 1.0}, received=JANUARY)
    assert found.state is State.CANDIDATE
    assert "was received before february" in found.reason


def test_another_fit_of_the_champions_package_is_judged_too(registry, fitted, champion):
    worse = registry.register(FAN, "february", FEBRUARY, fitted("worse", normals={"target": 2}))
    assert registry.judge(worse.version, {}, RULE).state is State.CANDIDATE
    as_good = registry.register(FAN, "february", FEBRUARY, fitted("as good", normals={"target": 10}))
    assert registry.judge(as_good.version, {}, RULE).state is State.CHAMPION


def test_what_people_took_out_of_use_is_never_promoted_by_the_policy(registry, fitted, champion):
    found = later(registry, fitted)
    registry.rollback(FAN, "jin", "false alarms")
    again = registry.judge(found.version, {"auc": 1.0}, RULE)
    assert again.state is State.ARCHIVED
    assert again.metrics == {"auc": 1.0}


def test_judging_again_with_the_same_figures_is_no_news(registry, fitted, champion):
    found = later(registry, fitted, {"auc": 0.5})
    before = registry.history()
    assert registry.judge(found.version, {"auc": 0.5}, RULE) == found
    registry.judge(champion.version, CHAMPION, RULE)
    assert registry.history() == before


def test_figures_that_are_no_numbers_are_left_out(registry, champion):
    assert registry.judge(champion.version, {"auc": float("nan"), "pauc": 0.7}, RULE).metrics == {"pauc": 0.7}
