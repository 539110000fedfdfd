"""The alert rules, held to stories by promtool, to the metrics of the code, and to the runbook."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, EVERYTHING, merged, of_kind, render, rendered, values_of
from sarlens.ingress.openai import PATHS
from sarlens.metrics import Metrics
from sarlens.v1 import sar_pb2
from stack.prometheus import needs_prometheus, promtool

ROOT = Path(__file__).parents[2]
RULES = CHART / "rules" / "sarlens.yaml"
STORIES = Path(__file__).with_name("alerts.yaml")
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]


@needs_prometheus
def test_the_rules_are_rules() -> None:
    """promtool reads all of them, finds no two alike, and has no remark."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@needs_prometheus
def test_the_stories_come_true() -> None:
    """Every alert fires in the stories in which it should, with these words, and in no other."""
    promtool("test", "rules", str(STORIES))


def test_every_alert_has_stories() -> None:
    """Each alert fires in one story at least and stays quiet in another."""
    told: dict[str, set[bool]] = defaultdict(set)
    for story in yaml.safe_load(STORIES.read_text())["tests"]:
        for case in story["alert_rule_test"]:
            told[case["alertname"]].add(bool(case["exp_alerts"]))
    assert told == {rule["alert"]: {True, False} for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_leads_to_its_section(rule: dict[str, Any]) -> None:
    """Its runbook_url names a section of the runbook that is there, and it is of one of two severities."""
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert rule["alert"] in sections
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_runbook_has_no_section_too_many() -> None:
    """Every section of the runbook is of an alert that is there, and its links between sections lead somewhere."""
    page = (ROOT / "docs/runbook.md").read_text()
    names = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == names
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= {name.lower() for name in names}


def test_rules_ask_for_metrics_that_are_there() -> None:
    """Each metric of the rules is one of the code or is recorded by a rule before."""
    known = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    for metric in Metrics().registry.collect():
        tails = (
            ("_bucket", "_count") if metric.type == "histogram" else ("_total",) if metric.type == "counter" else ("",)
        )
        known |= {metric.name + tail for tail in tails}
    asked = {
        name for group in GROUPS for rule in group["rules"] for name in re.findall(r"sarlens[_:]\w[\w:]*", rule["expr"])
    }
    assert asked <= known


def test_objectives_are_of_questions() -> None:
    """The routes that the objectives count are those that ask a model, in every protocol, and no others; surveys, which
    take as long as a scene is large, are among the others."""
    (pattern,) = set(re.findall(r'route=~"([^"]+)"', RULES.read_text()))
    asks = {*PATHS, "/v1/sar/vqa", "/v1/sar/captions", "/v2/models/{model}/infer"}
    asks |= {f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelStreamInfer")}
    (service,) = sar_pb2.DESCRIPTOR.services_by_name.values()
    asks |= {f"/{service.full_name}/{method.name}" for method in service.methods if method.name != "Survey"}
    others = {
        "/v1/models",
        "/v1/sar/picture",
        "/v1/sar/surveys",
        f"/{service.full_name}/Survey",
        "/readyz",
        "/health",
        "/metrics",
        "other",
        "/v2/health/ready",
    }
    others |= {f"/inference.GRPCInferenceService/{name}" for name in ("ServerReady", "ModelMetadata", "ModelReady")}
    assert all(re.fullmatch(pattern, route) for route in asks)
    assert not any(re.fullmatch(pattern, route) for route in others)


def test_the_chart_ships_these_rules() -> None:
    """The PrometheusRule holds the file's groups as they are."""
    (rule,) = of_kind(rendered(EVERYTHING), "PrometheusRule")
    assert rule["spec"]["groups"] == GROUPS


def test_the_runbook_may_lie_elsewhere() -> None:
    """monitoring.rules.runbook is where every runbook_url begins."""
    values = merged(values_of(EVERYTHING), {"monitoring": {"rules": {"runbook": "https://wiki.example.com/sarlens"}}})
    (rule,) = of_kind(render(values), "PrometheusRule")
    urls = [
        each["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for each in group["rules"]
        if "alert" in each
    ]
    assert len(urls) == len(ALERTS)
    assert all(url.startswith("https://wiki.example.com/sarlens#") for url in urls)
