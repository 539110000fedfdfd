"""Alert rules: promtool tests, metrics, and sections of the runbook."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, EVERYTHING, merged, of_kind, render, rendered, values_of
from sarlens.api.grpc.v1 import sar_pb2
from sarlens.chat.paths import COMPLETION_PATHS
from sarlens.observability.metrics import Metrics
from support.prometheus import needs_prometheus, promtool

ROOT = Path(__file__).parents[2]
RULES = CHART / "rules" / "sarlens.yaml"
CASES = Path(__file__).with_name("alerts.yaml")
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]


@needs_prometheus
def test_the_rules_are_valid() -> None:
    """promtool accepts all rules without a warning, and finds no duplicates."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@needs_prometheus
def test_alerts_fire_as_specified() -> None:
    """Every alert fires in the cases of alerts.yaml that expect it, with the expected annotations, and in no others."""
    promtool("test", "rules", str(CASES))


def test_every_alert_has_cases() -> None:
    """Each alert has at least one case in which it fires and one in which it doesn't."""
    results: dict[str, set[bool]] = defaultdict(set)
    for test in yaml.safe_load(CASES.read_text())["tests"]:
        for case in test["alert_rule_test"]:
            results[case["alertname"]].add(bool(case["exp_alerts"]))
    assert results == {rule["alert"]: {True, False} for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_runbook_section(rule: dict[str, Any]) -> None:
    """The runbook_url of each alert names a section of the runbook, and its severity is critical or warning."""
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/how-to/runbook.md").read_text(), re.MULTILINE)
    assert rule["alert"] in sections
    assert rule["annotations"]["runbook_url"] == f"docs/how-to/runbook.md#{rule['alert'].lower()}"
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_runbook_section_has_an_alert() -> None:
    """Every section of the runbook belongs to an alert, and links between sections resolve."""
    page = (ROOT / "docs/how-to/runbook.md").read_text()
    names = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == names
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= {name.lower() for name in names}


def test_rules_use_existing_metrics() -> None:
    """Each metric in the rules is exported by the gateway or recorded by another rule."""
    existing = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    for metric in Metrics().registry.collect():
        suffixes = (
            ("_bucket", "_count") if metric.type == "histogram" else ("_total",) if metric.type == "counter" else ("",)
        )
        existing |= {metric.name + suffix for suffix in suffixes}
    used = {
        name for group in GROUPS for rule in group["rules"] for name in re.findall(r"sarlens[_:]\w[\w:]*", rule["expr"])
    }
    assert used <= existing


def test_objectives_count_questions() -> None:
    """The objectives count the routes that ask a model, in every protocol, except surveys and all other routes."""
    (pattern,) = set(re.findall(r'route=~"([^"]+)"', RULES.read_text()))
    counted = {*COMPLETION_PATHS, "/v1/sar/vqa", "/v1/sar/captions", "/v2/models/{model}/infer"}
    counted |= {f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelStreamInfer")}
    (service,) = sar_pb2.DESCRIPTOR.services_by_name.values()
    counted |= {f"/{service.full_name}/{method.name}" for method in service.methods if method.name != "Survey"}
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
    assert all(re.fullmatch(pattern, route) for route in counted)
    assert not any(re.fullmatch(pattern, route) for route in others)


def test_the_chart_ships_these_rules() -> None:
    """The PrometheusRule holds the groups of the file unchanged."""
    (rule,) = of_kind(rendered(EVERYTHING), "PrometheusRule")
    assert rule["spec"]["groups"] == GROUPS


def _texts(groups: list[dict[str, Any]]) -> str:
    """The queries and summaries of all rules."""
    rules = [rule for group in groups for rule in group["rules"]]
    return "\n".join(rule["expr"] + rule.get("annotations", {}).get("summary", "") for rule in rules)


def test_the_seconds_of_the_objectives_are_configurable() -> None:
    """They reach every query, as a boundary of the histogram that the gateway exports, and every summary."""
    objectives = {"latencySeconds": 2.5, "firstTokenSeconds": 1}
    (rule,) = of_kind(
        render(merged(values_of(EVERYTHING), {"monitoring": {"rules": {"objectives": objectives}}})), "PrometheusRule"
    )
    text, default = _texts(rule["spec"]["groups"]), _texts(GROUPS)
    boundaries = dict(re.findall(r'(\w+_seconds)_bucket{[^}]*le="([^"]+)"', text))
    assert boundaries == {"sarlens_request_duration_seconds": "2.5", "sarlens_time_to_first_token_seconds": "1.0"}
    assert text.count('le="2.5"') == default.count('le="10.0"') == 8
    assert (text.count("take over 2.5 s."), text.count("after more than 1 s.")) == (2, 1)
    metrics = Metrics()
    metrics.latency.labels("r", "answered").observe(1)
    metrics.first_token.labels("m").observe(1)
    for family in metrics.registry.collect():
        if family.name in boundaries:
            assert boundaries[family.name] in {sample.labels.get("le") for sample in family.samples}


def test_the_runbook_url_is_configurable() -> None:
    """Every runbook_url begins with monitoring.rules.runbook."""
    values = merged(values_of(EVERYTHING), {"monitoring": {"rules": {"runbook": "https://wiki.example.com/sarlens"}}})
    (rule,) = of_kind(render(values), "PrometheusRule")
    urls = [
        alert["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for alert in group["rules"]
        if "alert" in alert
    ]
    assert len(urls) == len(ALERTS)
    assert all(url.startswith("https://wiki.example.com/sarlens#") for url in urls)
