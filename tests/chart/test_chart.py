"""The Helm chart, rendered by Helm itself and held to the schemas of Kubernetes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from chart.settings_schema import SCHEMA, secrets_schema, settings_schema
from sarlens.settings import Settings, describe

CHART = Path(__file__).parents[2] / "helm" / "sarlens"
PROFILES = sorted(path.name for path in CHART.glob("values-*.yaml"))
EVERYTHING = "everything"
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "GRPCRoute"}
"""Kinds that Kubernetes itself does not know."""

Object = dict[str, Any]


def _merged(values: Any, more: Any) -> Any:
    if not (isinstance(values, dict) and isinstance(more, dict)):
        return more
    return values | {key: _merged(values.get(key), value) for key, value in more.items()}


def _everything() -> dict[str, Any]:
    """Values that turn all on."""
    worker: dict[str, Any] = {"name": "qwen", "model": "/models/qwen", "modelClaim": "models"}
    worker |= {"autoscaling": {"enabled": True, "prometheus": "http://prometheus:9090"}}
    on = {"enabled": True}
    return {
        "keys": {"secretName": "keys"},
        "secrets": {"keys.redis_url": {"secretName": "valkey", "key": "url"}},
        "settings": {"s3": {"endpoint": "http://s3:8333"}},
        "workers": [worker],
        "gateway": {"autoscaling": on, "grpc": {"tlsSecretName": "tls"}},
        "monitoring": {"serviceMonitor": on, "rules": on, "dashboards": on},
        "ingress": {"enabled": True, "host": "sar.example.com"},
        "gatewayApi": {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "hostnames": ["sar.example.com"],
            "grpcHostnames": ["rpc.example.com"],
        },
    }


def values_of(profile: str) -> dict[str, Any]:
    """The values of a profile."""
    if profile == EVERYTHING:
        return _everything()
    values: dict[str, Any] = yaml.safe_load((CHART / profile).read_text())
    return values


def render(values: dict[str, Any]) -> list[Object]:
    """The objects that Helm makes of values."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="demo", namespace="sar")
    documents = (each for path, text in texts.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text))
    return [each for each in documents if each]


@cache
def rendered(profile: str) -> list[Object]:
    """The objects of a profile."""
    return render(values_of(profile))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: list[Object]) -> list[Object]:
    """The pod templates, and the pod of the test hook."""
    found = [each["spec"]["template"] for each in of_kind(objects, "Deployment", "StatefulSet")]
    return found + of_kind(objects, "Pod")


every_profile = pytest.mark.parametrize("profile", [*PROFILES, EVERYTHING])


def test_there_are_three_profiles() -> None:
    """A profile each to try out, for one GPU, and for production."""
    assert PROFILES == ["values-dev.yaml", "values-production.yaml", "values-single-gpu.yaml"]


def test_lint_finds_no_errors() -> None:
    """helm lint has nothing to complain of but that there is no icon."""
    found = helm.lint(str(CHART), strict=True)
    assert not found["errors"]
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@every_profile
def test_objects_are_valid(profile: str) -> None:
    """Each object of Kubernetes' own is valid by its schema, strictly; others are at least named and versioned."""
    assert rendered(profile)
    for each in rendered(profile):
        assert each["metadata"]["name"]
        if each["kind"] in CUSTOM:
            assert re.fullmatch(r"[a-z0-9.]+/v1(alpha1|beta1)?", each["apiVersion"])
        else:
            kubernetes_validate.validate(each, "1.33", strict=True)


def test_all_kinds_are_there() -> None:
    """With all turned on the chart makes every kind of object that an operator expects."""
    kinds = {each["kind"] for each in rendered(EVERYTHING)}
    own = {"Deployment", "StatefulSet", "Service", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Ingress"}
    assert kinds >= own | {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "Pod"}
    assert kinds >= {"ScaledObject", "HTTPRoute", "GRPCRoute"}


@every_profile
def test_nothing_runs_as_root(profile: str) -> None:
    """No container runs as root, gains privileges, keeps a capability or writes to its root."""
    assert pods(rendered(profile))
    for pod in pods(rendered(profile)):
        whole = pod["spec"]["securityContext"]
        assert whole["runAsNonRoot"] is True
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}


@every_profile
def test_selectors_match(profile: str) -> None:
    """Each Service, disruption budget and network policy selects the labels of exactly one kind of pod or more."""
    labels = [pod["metadata"]["labels"] for pod in pods(rendered(profile))]
    selectors = [each["spec"]["selector"] for each in of_kind(rendered(profile), "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(rendered(profile), "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(rendered(profile), "NetworkPolicy")]
    for each in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        chosen = each["spec"]["selector"]["matchLabels"]
        assert chosen.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    for selector in selectors:
        assert any(selector.items() <= each.items() for each in labels), selector


@every_profile
def test_settings_exist(profile: str) -> None:
    """Each SARLENS_ variable of a pod or a ConfigMap is a setting of the code, and Settings takes its value."""
    known = {variable for variable, _, _ in describe()}
    given: dict[str, str] = {}
    for each in of_kind(rendered(profile), "ConfigMap"):
        given |= {name: value for name, value in each["data"].items() if name.startswith("SARLENS_")}
    for pod in pods(rendered(profile)):
        for container in pod["spec"]["containers"]:
            given |= {
                e["name"]: e.get("value", "") for e in container.get("env", []) if e["name"].startswith("SARLENS_")
            }
    assert given
    assert given.keys() <= known


def test_the_schema_follows_from_the_code() -> None:
    """What values.schema.json says of settings and secrets is what the Settings class takes."""
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert {key: value for key, value in properties["settings"].items() if key != "description"} == settings_schema()
    assert {key: value for key, value in properties["secrets"].items() if key != "description"} == secrets_schema()
    assert Settings.model_fields


@every_profile
def test_pods_outlive_their_drain(profile: str) -> None:
    """A pod's grace period is longer than its preStop and its drain together."""
    settings = values_of(profile).get("settings", {})
    for each in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        spec = each["spec"]["template"]["spec"]
        text = json.dumps(spec["containers"][0])
        (slept,) = re.findall(r'"preStop": {"sleep": {"seconds": (\d+)', text)
        given = re.findall(r'"--shutdown-timeout", "(\d+)"', text)
        drain = int(given[0]) if given else settings.get("drain_s", 30)
        assert spec["terminationGracePeriodSeconds"] > int(slept) + drain


@every_profile
def test_probes_are_apart(profile: str) -> None:
    """Starting, living and being ready are asked apart, of every gateway and worker."""
    for each in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        container = each["spec"]["template"]["spec"]["containers"][0]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


@every_profile
def test_rights_are_few(profile: str) -> None:
    """The one Role lets the gateway list endpoint slices, and nothing else."""
    for role in of_kind(rendered(profile), "Role"):
        for rule in role["rules"]:
            assert rule["resources"] == ["endpointslices"]
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
    assert not of_kind(rendered(profile), "ClusterRole", "ClusterRoleBinding", "Secret")


def test_workers_are_started_as_the_router_needs_them() -> None:
    """vLLM gets one API server, an image cache, and no media domain; its pods may connect to nothing by default."""
    (workers,) = of_kind(rendered(EVERYTHING), "StatefulSet")
    text = json.dumps(workers["spec"]["template"]["spec"]["containers"][0])
    for switch in ("--api-server-count", "--allowed-media-domains", "--mm-processor-cache-gb", "--shutdown-timeout"):
        assert switch in text, switch
    chosen = workers["spec"]["template"]["metadata"]["labels"]
    policies = [
        each
        for each in of_kind(rendered(EVERYTHING), "NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= chosen.items()
    ]
    assert [each["spec"].get("egress") or [] for each in policies] == [[]]
    assert all("Egress" in each["spec"]["policyTypes"] for each in policies)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replicas": -1}}, "replicas"),
        ({"settings": {"s3": {"endpont": "http://x"}}}, "endpont"),
        ({"settings": {"routing": {"policy": "random"}}}, "policy"),
        ({"settings": {"port": 99}}, "port"),
        ({"secrets": {"s3.secret": {"secretName": "x", "key": "y"}}}, "s3.secret"),
        ({"workers": [{"name": "a"}]}, "model"),
        ({"workers": [{"name": "A_b", "model": "m"}]}, "name"),
        ({"keys": {"secretName": "", "open": False}}, "keys"),
        ({"workers": []}, "workers"),
    ],
)
def test_bad_values_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    """A typo or an impossible value ends the installation with a message that names it."""
    with pytest.raises(helm.HelmError, match=re.escape(named)):
        render(_merged(_everything(), wrong))
