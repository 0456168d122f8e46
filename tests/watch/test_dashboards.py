"""Dashboard, alerts and scrape configuration speak of metrics that there are."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from prometheus_client import CollectorRegistry

from alp_assets.params import PROJECT, Params
from alp_assets.watch.exporter import StateCollector
from alp_assets.watch.ledger import Seconds, Sums
from tests.watch.roots import gate, package

DEPLOY = PROJECT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "alp.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text(encoding="utf-8"))
NAME = re.compile(r"\balp_[a-z_]+")
LABELS = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every sample that there can be: its name, and the labels that it may have."""
    root = tmp_path_factory.mktemp("exported")
    package(root, "acme__first", gates={"quality": [gate("drift", "warned")]})
    collector = StateCollector(root, Params())
    ended = Sums(
        stages={"quality": Seconds()},
        clips={"quality": 1},
        runs={"success": 1},
        failures={"crash": 1},
        latest=[(1, 1.0)],
    )
    collector._ledger.advance = lambda *_: ended
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    samples: dict[str, set[str]] = {}
    for family in registry.collect():
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    samples |= {
        "alp_http_requests_total": {"method", "route", "status"},
        "alp_http_request_seconds_bucket": {"route", "le"},
    }
    return samples


def queries():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_query_asks_for_what_is_exported(exported, where, query):
    names = NAME.findall(query)
    assert names, where
    assert set(names) <= set(exported), where
    for labels in LABELS.findall(query):
        wanted = {label.strip() for label in labels.split(",")}
        assert wanted <= set().union(*(exported[name] for name in names)), where


def test_every_metric_is_shown_somewhere_or_alerts(exported):
    asked = {name for _, query in queries() for name in NAME.findall(query)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    # these two are for whoever explores
    assert families - shown == {"alp_customers", "alp_packages_bytes"}


def test_panels_lie_side_by_side():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_scrape_configuration_loads_the_alerts_and_sends_the_token():
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((DEPLOY / name).is_file() for name in config["rule_files"])
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["authorization"]["credentials_file"]


def test_every_alert_says_what_to_do():
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert rule["annotations"].keys() == {"summary", "action"}
