"""Who may read /metrics, and what is in it."""

from __future__ import annotations

import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from alp_assets.params import Params
from alp_assets.watch import exporter
from alp_assets.watch.ledger import Sums
from alp_assets.web.app import make_app
from alp_assets.web.identity import Role
from alp_assets.web.keys import KeyStore
from alp_assets.web.watched import TOKEN
from tests.watch.roots import arrive, gate, package


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics")
    gates = {"scores": [gate("false_alarm_promise", "warned", normals=40, false_alarms=6)]}
    package(root, "acme__first", gates=gates)
    package(root, "rival__theirs", until="quality", gates={"quality": [gate("audio_quality", "failed")]})
    arrive(root, "acme__second")
    return root


@pytest.fixture(scope="module")
def keys(data_root):
    store = KeyStore(data_root)
    return {name: store.add(Role.VIEWER, name, "", None)[1] for name in ("acme", "*")}


@pytest.fixture(scope="module")
def app(data_root):
    return make_app(data_root, Params())


def scrape(app, token=None, **headers):
    client = TestClient(app, base_url="http://alp.test", raise_server_exceptions=False)
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return client.get("/metrics", headers={**given, **headers})


def samples(answer):
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_strangers_and_single_customers_learn_nothing(app, keys):
    assert scrape(app).status_code == 401
    assert scrape(app, keys["acme"]).status_code == 403
    assert scrape(app, "nonsense").status_code == 401
    assert not any("alp_" in scrape(app, key).text for key in (None, keys["acme"], "nonsense"))


def test_a_key_for_all_customers_sees_the_state(app, keys):
    found = samples(scrape(app, keys["*"]))
    assert found["alp_packages", (("state", "finished"),)] == 1
    assert found["alp_packages", (("state", "refused"),)] == 1
    assert found["alp_packages", (("state", "waiting"),)] == 1
    assert found["alp_package_gates", (("gate", "audio_quality"), ("status", "failed"))] == 1
    assert found["alp_false_alarms_observed", ()] == 6
    assert found["alp_unseen_normals", ()] == 40
    assert found["alp_queue_age_seconds", ()] > 0
    assert found["alp_unreadable", (("part", "dagster"),)] == 0


def test_the_token_opens_the_metrics_and_nothing_else(app, monkeypatch):
    monkeypatch.setenv(TOKEN, "a-token-for-prometheus")
    assert scrape(app, "a-token-for-prometheus").status_code == 200
    assert scrape(app, "a-token-for-prometheu").status_code == 401
    client = TestClient(
        app, base_url="http://alp.test", headers={"Authorization": "Bearer a-token-for-prometheus"}
    )
    assert client.get("/api/v1/packages").status_code == 401


def test_no_token_is_no_password(app, monkeypatch):
    monkeypatch.setenv(TOKEN, "")
    assert scrape(app, Authorization="Bearer ").status_code == 401


def test_requests_are_counted_by_route_and_without_names(app, keys):
    client = TestClient(app, base_url="http://alp.test", headers={"Authorization": f"Bearer {keys['*']}"})
    client.get("/api/v1/packages/acme/first")
    client.get("/api/v1/packages/acme/nothing-here")
    client.get("/no/such/page")
    client.request("BREW", "/api/v1/health")
    answer = scrape(app, keys["*"])
    found = samples(answer)
    route = ("route", "/api/v1/packages/{customer}/{package}")
    assert found["alp_http_requests_total", (("method", "GET"), route, ("status", "200"))] == 1
    assert found["alp_http_requests_total", (("method", "GET"), route, ("status", "404"))] == 1
    assert found["alp_http_request_seconds_count", (route,)] == 2
    assert ("alp_http_requests_total", (("method", "GET"), ("route", "other"), ("status", "404"))) in found
    assert any(dict(labels).get("method") == "other" for _, labels in found)
    for name in ("nothing-here", "no/such", "first", "BREW"):
        assert name not in answer.text


def test_a_root_without_anything_has_metrics_too(tmp_path):
    app = make_app(tmp_path, Params(), dev=True)
    client = TestClient(app, base_url="http://localhost:8000")
    found = samples(client.get("/metrics"))
    assert found["alp_packages", (("state", "finished"),)] == 0
    assert found["alp_queue_age_seconds", ()] == 0


def test_every_kind_of_failure_and_every_fate_of_a_notice_is_there_before_the_first(tmp_path):
    client = TestClient(make_app(tmp_path, Params(), dev=True), base_url="http://localhost:8000")
    found = samples(client.get("/metrics"))
    for kind in ("crash", "killed", "refused", "interrupted", "ArchiveRefused", "MemoryExceeded"):
        assert found["alp_failures_total", (("kind", kind),)] == 0
    for state in ("waiting", "undelivered", "dropped"):
        assert found["alp_notices", (("state", state),)] == 0


@pytest.mark.parametrize("settings", ["storage: {postgres: {postgres_url: 5}}\n", "run_queue: [\n"])
def test_dagster_s_failure_is_a_metric_and_no_error(tmp_path, settings):
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(settings)
    app = make_app(tmp_path, Params(), dev=True)
    client = TestClient(app, base_url="http://localhost:8000")
    assert samples(client.get("/metrics"))["alp_unreadable", (("part", "dagster"),)] == 1


def test_a_scrape_does_not_wait_for_the_runs_to_be_counted(data_root, monkeypatch):
    monkeypatch.setattr(exporter, "_PATIENCE_S", 0.05)
    collector = exporter.StateCollector(data_root, Params(), keep_s=0.0)
    counting = threading.Event()

    def slow(_):
        counting.wait(10)
        return Sums(runs={"success": 7})

    monkeypatch.setattr(collector._ledger, "advance", slow)

    def runs():
        (family,) = (family for family in collector.collect() if family.name == "alp_runs")
        return {sample.labels["outcome"]: sample.value for sample in family.samples}

    assert runs()["success"] == 0
    counting.set()
    until = time.monotonic() + 5
    while runs()["success"] != 7:
        assert time.monotonic() < until
    collector.close()
