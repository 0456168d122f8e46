"""What a stage raises, as Dagster gets it."""

import dagster as dg
import pytest

from alp_assets.assets import running
from alp_assets.assets.running import AWAY_TRIES, plain_failures
from alp_assets.errors import GateFailed
from alp_assets.registry.records import RegistryAway


@pytest.fixture
def instance(monkeypatch):
    monkeypatch.setattr(running, "AWAY_S", 0.0)
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def ran(instance, raised):
    """How a run of one asset ended that raises these one after the other, and how often it was tried."""
    left, tries = list(raised), []

    @dg.asset
    def stage() -> None:
        tries.append(1)
        with plain_failures():
            if left:
                raise left.pop(0)

    result = dg.materialize([stage], instance=instance, raise_on_error=False)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return result.success, len(tries), failures


def test_a_step_that_finds_the_registry_s_server_away_is_tried_again_in_its_run(instance):
    assert ran(instance, [RegistryAway("it starts")] * 2)[:2] == (True, 3)


def test_a_server_that_stays_away_fails_the_step_with_its_reason(instance):
    success, tries, (failure,) = ran(instance, [RegistryAway("it is gone")] * 99)
    assert (success, tries) == (False, AWAY_TRIES + 1)
    assert "it is gone" in failure.error.cause.message


def test_what_is_wrong_with_a_package_is_not_tried_again(instance):
    success, tries, (failure,) = ran(instance, [GateFailed("too few recordings")])
    assert (success, tries, failure.user_failure_data.description) == (False, 1, "too few recordings")
