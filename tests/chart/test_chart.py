"""The Helm chart's objects, rendered by Helm itself and held to the schemas of Kubernetes and of operators."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from copy import deepcopy
from typing import Any

import helm_python as helm
import jsonschema
import pytest

from chart.rendering import (
    CHART,
    EVERYTHING,
    PROFILES,
    container,
    everything,
    merged,
    of_kind,
    pods,
    render,
    rendered,
    validate,
    values_of,
)
from sarlens.seaweed import free_port
from sarlens.settings import GrpcSettings, Settings, WorkerSettings, describe
from stack.fake_worker import FakeWorker
from stack.gateway import gateway

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
    """Each object is valid by its schema, strictly, those of KEDA, the Prometheus operator and Gateway API included."""
    assert rendered(profile)
    for each in rendered(profile):
        validate(each)


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "threshold"), 8),
        ("ScaledObject", ("spec", "minReplicas"), 1),
        ("ScaledObject", ("spec", "triggers", 0, "metricType"), "Average"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "15 s"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "severity"), "critical"),
        ("HTTPRoute", ("spec", "rules", 0, "timeouts", "request"), 600),
        ("HTTPRoute", ("spec", "parentRefs", 0, "gateway"), "public"),
        ("GRPCRoute", ("spec", "rules", 0, "backendRefs", 0, "port"), "grpc"),
    ],
)
def test_the_schemas_of_operators_refuse(kind: str, path: tuple[str | int, ...], wrong: Any) -> None:
    """The schemas written here see a typo, a wrong type and a word that the operator does not know."""
    thing = deepcopy(of_kind(rendered(EVERYTHING), kind)[0])
    inner: Any = thing
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        validate(thing)


def test_all_kinds_are_there() -> None:
    """With all turned on the chart makes every kind of object that an operator expects."""
    kinds = {each["kind"] for each in rendered(EVERYTHING)}
    own = {"Deployment", "StatefulSet", "Service", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Ingress"}
    assert kinds >= own | {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Pod"}
    assert kinds >= {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "GRPCRoute"}
    assert "PersistentVolumeClaim" in {each["kind"] for each in rendered("values-single-gpu.yaml")}


@every_profile
def test_nothing_runs_as_root(profile: str) -> None:
    """No container runs as root, gains privileges, keeps a capability or writes to its root."""
    assert pods(rendered(profile))
    for pod in pods(rendered(profile)):
        whole = pod["spec"]["securityContext"]
        assert whole["runAsNonRoot"] is True
        assert whole["runAsUser"] > 0
        for each in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            own = each["securityContext"]
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
def test_settings_exist(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each SARLENS_ variable of the gateway is a setting of the code, and Settings takes the value that is given."""
    gateway = container(rendered(profile), "Deployment")
    (settings,) = (each for each in of_kind(rendered(profile), "ConfigMap") if "SARLENS_HOST" in each["data"])
    assert {"configMapRef": {"name": settings["metadata"]["name"]}} in gateway["envFrom"]
    given = dict(settings["data"])
    for each in gateway["env"]:
        given[each["name"]] = "2" if "resourceFieldRef" in each.get("valueFrom", {}) else "redis://kept-in-a-secret"
    assert given.keys() <= {variable for variable, _, _ in describe()}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    taken = Settings()
    assert taken.worker.urls
    assert taken.host == "0.0.0.0"
    assert taken.keys.open is (profile == "values-dev.yaml")


@every_profile
@pytest.mark.parametrize("more", [{}, {"settings": {"drain_s": 90.5}, "gateway": {"preStopSeconds": 33}}])
def test_pods_outlive_their_drain(profile: str, more: dict[str, Any]) -> None:
    """A pod's grace period is longer than its preStop and its drain together, whatever these are set to."""
    objects = render(merged(values_of(profile), more))
    drain = max(float(each["data"].get("SARLENS_DRAIN_S", 0)) for each in of_kind(objects, "ConfigMap"))
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        spec = each["spec"]["template"]["spec"]
        args = spec["containers"][0]["args"]
        if "--shutdown-timeout" in args:
            drain = float(args[args.index("--shutdown-timeout") + 1])
        slept = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert slept > 0
        assert spec["terminationGracePeriodSeconds"] > slept + drain


@every_profile
def test_probes_are_apart(profile: str) -> None:
    """Starting, living and being ready are asked apart: a gateway without workers is not ready, and lives."""
    for each in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        asked = each["spec"]["template"]["spec"]["containers"][0]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= asked.keys()
    gateway = container(rendered(profile), "Deployment")
    assert gateway["livenessProbe"]["httpGet"]["path"] == gateway["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"


@every_profile
def test_rights_are_few(profile: str) -> None:
    """The one Role lets the gateway list endpoint slices, and nothing else."""
    for role in of_kind(rendered(profile), "Role"):
        for rule in role["rules"]:
            assert rule["resources"] == ["endpointslices"]
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
    assert not of_kind(rendered(profile), "ClusterRole", "ClusterRoleBinding", "Secret")


def test_pods_and_policies_name_what_exists() -> None:
    """What a pod mounts and whom it runs as, and what a scaler scales, are among the objects or named by the values."""
    for profile in [*PROFILES, EVERYTHING]:
        objects = rendered(profile)
        made = {(each["kind"], each["metadata"]["name"]) for each in objects}
        for each in of_kind(objects, "Deployment", "StatefulSet"):
            spec = each["spec"]["template"]["spec"]
            assert ("ServiceAccount", spec["serviceAccountName"]) in made
            claimed = {v["name"] for v in spec["volumes"]}
            claimed |= {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
            assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == claimed
        for each in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler"):
            target = each["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in made
        for each in of_kind(objects, "HTTPRoute", "GRPCRoute"):
            assert ("Service", each["spec"]["rules"][0]["backendRefs"][0]["name"]) in made


def test_what_scales_has_no_number_of_pods() -> None:
    """Where an autoscaler decides, the number of pods is not set: an upgrade would set it back."""
    for each in of_kind(rendered(EVERYTHING), "Deployment", "StatefulSet"):
        assert "replicas" not in each["spec"]


def test_workers_scale_by_queue_and_cache() -> None:
    """KEDA asks Prometheus for vLLM's waiting requests and its KV-cache in use, of this worker alone."""
    (scaled,) = of_kind(rendered(EVERYTHING), "ScaledObject")
    queries = [each["metadata"]["query"] for each in scaled["spec"]["triggers"]]
    chosen = '{namespace="sar",service="demo-sarlens-qwen"}'
    assert queries == [f"sum(vllm:num_requests_waiting{chosen})", f"100 * avg(vllm:kv_cache_usage_perc{chosen})"]


def test_surveys_have_a_place() -> None:
    """Surveys lie on a volume that outlives pod and release, written to by one pod at a time, or in PostgreSQL."""
    (claim,) = of_kind(rendered("values-single-gpu.yaml"), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (gateway,) = of_kind(rendered("values-single-gpu.yaml"), "Deployment")
    assert gateway["spec"]["strategy"] == {"type": "Recreate"}
    (volume,) = (each for each in gateway["spec"]["template"]["spec"]["volumes"] if each["name"] == "surveys")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    fleet = container(rendered("values-production.yaml"), "Deployment")
    (kept,) = (each for each in fleet["env"] if each["name"] == "SARLENS_SURVEY__DATABASE")
    assert kept["valueFrom"] == {"secretKeyRef": {"name": "sarlens-postgresql", "key": "url"}}
    assert "surveys" not in {each["name"] for each in fleet["volumeMounts"]}


def test_secrets_come_by_reference() -> None:
    """No value that the settings call secret can stand in the values, and each comes from a Secret's key."""
    for each in container(rendered(EVERYTHING), "Deployment")["env"]:
        assert "value" not in each
    text = json.dumps(rendered(EVERYTHING))
    assert not re.search(r'"SARLENS_(KEYS__REDIS_URL|SURVEY__DATABASE|WORKER__API_KEY)": ', text)


def test_the_gateway_ends_tls_of_routes() -> None:
    """A gateway whose gRPC is TLS has no GRPCRoute, which would speak plain HTTP/2 to it."""
    tls = {"gateway": {"grpc": {"tlsSecretName": "tls"}}, "gatewayApi": {"grpcHostnames": []}}
    objects = render(merged(everything(), tls))
    assert of_kind(objects, "HTTPRoute")
    assert not of_kind(objects, "GRPCRoute")


async def test_the_hook_of_helm_test_asks_the_gateway(worker: FakeWorker) -> None:
    """The script that `helm test` runs passes on a gateway that serves REST and gRPC, and fails where none does."""
    (hook,) = of_kind(rendered("values-dev.yaml"), "Pod")
    (script,) = hook["spec"]["containers"][0]["args"]
    port = free_port()
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)), grpc=GrpcSettings(port=port))) as url:
        there = script.replace("http://demo-sarlens:8080", url).replace("demo-sarlens:8081", f"127.0.0.1:{port}")

        async def passes() -> bool:
            run = asyncio.create_subprocess_exec(sys.executable, "-c", there, stderr=asyncio.subprocess.DEVNULL)
            return await (await run).wait() == 0

        async with asyncio.timeout(30):
            while not await passes():  # the health of gRPC follows that of REST within a second
                await asyncio.sleep(0.2)
    assert not await passes()
