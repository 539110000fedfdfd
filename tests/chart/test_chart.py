"""Objects of the Helm chart, rendered by Helm and validated against the schemas of Kubernetes and of operators."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import pytest

from chart.rendering import (
    CHART,
    EVERYTHING,
    PROFILES,
    Object,
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
from sarlens.devstack.ports import free_port
from sarlens.profiles.loading import load_profiles
from sarlens.settings import GrpcSettings, ManagementSettings, Settings, WorkerSettings, describe
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker

every_profile = pytest.mark.parametrize("profile", [*PROFILES, EVERYTHING])


def test_there_are_three_profiles() -> None:
    """The chart has profiles for development, for one GPU, and for production."""
    assert PROFILES == ["values-dev.yaml", "values-production.yaml", "values-single-gpu.yaml"]


def test_lint_finds_no_errors() -> None:
    """helm lint reports no errors, and only recommends an icon."""
    result = helm.lint(str(CHART), strict=True)
    assert not result["errors"]
    assert [message["error"] for message in result["messages"]] == ["icon is recommended"]


@every_profile
def test_objects_are_valid(profile: str) -> None:
    """Every object is valid under strict schemas, including those of KEDA, the Prometheus operator and Gateway API."""
    assert rendered(profile)
    for item in rendered(profile):
        validate(item)


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
def test_operator_schemas_reject_mistakes(kind: str, path: tuple[str | int, ...], wrong: Any) -> None:
    """The schemas in crds.yaml reject a typo, a wrong type and an unknown value."""
    item = deepcopy(of_kind(rendered(EVERYTHING), kind)[0])
    inner: Any = item
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        validate(item)


def test_the_chart_has_all_kinds() -> None:
    """With every feature enabled, the chart has every kind of object."""
    kinds = {item["kind"] for item in rendered(EVERYTHING)}
    core = {"Deployment", "StatefulSet", "Service", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Ingress"}
    assert kinds >= core | {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Pod"}
    assert kinds >= {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "GRPCRoute"}
    assert "PersistentVolumeClaim" in {item["kind"] for item in rendered("values-single-gpu.yaml")}


@every_profile
def test_nothing_runs_as_root(profile: str) -> None:
    """No container runs as root, escalates privileges, keeps a capability, or writes to its root file system."""
    assert pods(rendered(profile))
    for pod in pods(rendered(profile)):
        pod_context = pod["spec"]["securityContext"]
        assert pod_context["runAsNonRoot"] is True
        assert pod_context["runAsUser"] > 0
        for spec in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            context = spec["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


@every_profile
def test_selectors_match(profile: str) -> None:
    """Each Service, disruption budget and network policy selects the labels of at least one pod template."""
    labels = [pod["metadata"]["labels"] for pod in pods(rendered(profile))]
    selectors = [item["spec"]["selector"] for item in of_kind(rendered(profile), "Service")]
    selectors += [item["spec"]["selector"]["matchLabels"] for item in of_kind(rendered(profile), "PodDisruptionBudget")]
    selectors += [item["spec"]["podSelector"]["matchLabels"] for item in of_kind(rendered(profile), "NetworkPolicy")]
    for item in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        selected = item["spec"]["selector"]["matchLabels"]
        assert selected.items() <= item["spec"]["template"]["metadata"]["labels"].items()
    for selector in selectors:
        assert any(selector.items() <= pod_labels.items() for pod_labels in labels), selector


@every_profile
def test_settings_exist(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each SARLENS_ variable of the gateway is a setting, and Settings accepts its value."""
    gateway = container(rendered(profile), "Deployment")
    (settings,) = (item for item in of_kind(rendered(profile), "ConfigMap") if "SARLENS_HOST" in item["data"])
    assert {"configMapRef": {"name": settings["metadata"]["name"]}} in gateway["envFrom"]
    variables = dict(settings["data"])
    for item in gateway["env"]:
        variables[item["name"]] = "2" if "resourceFieldRef" in item.get("valueFrom", {}) else "redis://kept-in-a-secret"
    assert variables.keys() <= {variable for variable, _, _ in describe()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parsed = Settings()
    assert parsed.worker.urls
    assert parsed.host == "::"
    assert parsed.keys.allow_anonymous is (profile == "values-dev.yaml")


@every_profile
@pytest.mark.parametrize("more", [{}, {"settings": {"drain_timeout_s": 90.5}, "gateway": {"preStopSeconds": 33}}])
def test_pods_outlive_their_drain(profile: str, more: dict[str, Any]) -> None:
    """The grace period of a pod is longer than its preStop hook and its drain together."""
    objects = render(merged(values_of(profile), more))
    drain = max(float(item["data"].get("SARLENS_DRAIN_TIMEOUT_S", 0)) for item in of_kind(objects, "ConfigMap"))
    for item in of_kind(objects, "Deployment", "StatefulSet"):
        spec = item["spec"]["template"]["spec"]
        args = spec["containers"][0]["args"]
        if "--shutdown-timeout" in args:
            drain = float(args[args.index("--shutdown-timeout") + 1])
        pre_stop_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pre_stop_s > 0
        assert spec["terminationGracePeriodSeconds"] > pre_stop_s + drain


@every_profile
def test_probes_are_separate(profile: str) -> None:
    """Startup, liveness and readiness have separate probes, and no probe of a gateway waits for its workers."""
    for item in of_kind(rendered(profile), "Deployment", "StatefulSet"):
        spec = item["spec"]["template"]["spec"]["containers"][0]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= spec.keys()
    gateway = container(rendered(profile), "Deployment")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert gateway[probe]["httpGet"]["port"] == "management"
    assert gateway["livenessProbe"]["httpGet"]["path"] == gateway["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (deployment,) = of_kind(rendered(profile), "Deployment")
    startup = gateway["startupProbe"]
    assert deployment["spec"]["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"]


@every_profile
def test_the_gateway_has_minimal_permissions(profile: str) -> None:
    """The only Role lets the gateway read endpoint slices."""
    for role in of_kind(rendered(profile), "Role"):
        for rule in role["rules"]:
            assert rule["resources"] == ["endpointslices"]
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
    assert not of_kind(rendered(profile), "ClusterRole", "ClusterRoleBinding")


@every_profile
def test_only_scrapers_reach_the_management_port(profile: str) -> None:
    """Port 8082 has a headless Service of its own, and Prometheus and the test pod alone may connect to it."""
    objects = rendered(profile)
    ports = container(objects, "Deployment")["ports"]
    assert {"name": "management", "containerPort": 8082} in ports
    (settings,) = (item["data"] for item in of_kind(objects, "ConfigMap") if "SARLENS_HOST" in item["data"])
    assert (settings["SARLENS_MANAGEMENT__HOST"], settings["SARLENS_MANAGEMENT__PORT"]) == ("::", "8082")
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "Service")}
    exposing = {name for name, spec in services.items() if any(port["port"] == 8082 for port in spec["ports"])}
    (name,) = exposing
    assert name.endswith("-management")
    assert (services[name]["clusterIP"], services[name].get("type")) == ("None", None)
    for route in of_kind(objects, "HTTPRoute", "GRPCRoute", "Ingress"):
        assert name not in json.dumps(route)
    policies = [
        item
        for item in of_kind(objects, "NetworkPolicy")
        if item["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    ]
    for policy in policies:
        rules = policy["spec"]["ingress"]
        (management,) = (rule for rule in rules if {"port": 8082, "protocol": "TCP"} in rule["ports"])
        assert management["ports"] == [{"port": 8082, "protocol": "TCP"}]
        assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}} in management[
            "from"
        ]
        assert len(management["from"]) == 2
    for monitor in of_kind(objects, "ServiceMonitor"):
        gateway_pods = monitor["metadata"]["name"].endswith("-gateway")
        assert monitor["spec"]["endpoints"][0]["port"] == ("management" if gateway_pods else "http")


def test_references_between_objects_resolve() -> None:
    """Service accounts, volumes, scale targets and backends of routes refer to existing objects."""
    for profile in [*PROFILES, EVERYTHING]:
        objects = rendered(profile)
        existing = {(item["kind"], item["metadata"]["name"]) for item in objects}
        for item in of_kind(objects, "Deployment", "StatefulSet"):
            spec = item["spec"]["template"]["spec"]
            assert ("ServiceAccount", spec["serviceAccountName"]) in existing
            volumes = {v["name"] for v in spec["volumes"]}
            volumes |= {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])}
            assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == volumes
        for item in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler"):
            target = item["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in existing
        for item in of_kind(objects, "HTTPRoute", "GRPCRoute"):
            assert ("Service", item["spec"]["rules"][0]["backendRefs"][0]["name"]) in existing


def test_workers_scale_by_queue_and_cache() -> None:
    """KEDA scales a worker by the gateways' queues, and by waiting requests and KV cache usage of its own pods."""
    (scaled,) = of_kind(rendered(EVERYTHING), "ScaledObject")
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    selector = '{namespace="sar",service="demo-sarlens-qwen"}'
    assert queries[0] == 'sum(sarlens_queued_requests{namespace="sar",service="demo-sarlens-management"})'
    assert queries[1:] == [
        f"sum(vllm:num_requests_waiting{selector})",
        f"100 * avg(vllm:kv_cache_usage_perc{selector})",
    ]


def test_workers_at_zero_wait_for_requests() -> None:
    """With `minReplicas: 0`, requests that wait for a model wake a worker, and wait for as long as it needs to load.

    Requests that run keep it awake. Discovery by DNS is refused, since a name without pods doesn't resolve.
    """
    worker = merged(everything()["workers"][0], {"autoscaling": {"minReplicas": 0, "cooldownSeconds": 90}})
    objects = render(everything() | {"workers": [worker]})
    (scaled,) = of_kind(objects, "ScaledObject")
    validate(scaled)
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["cooldownPeriod"]) == (0, 90)
    triggers = {item["name"]: item["metadata"] for item in scaled["spec"]["triggers"]}
    gateways = 'namespace="sar",service="demo-sarlens-management"'
    waiting = f'sum(sarlens_requests_waiting_for_model{{{gateways},model=~"qwen|ships|ice"}})'
    assert triggers["asleep"]["query"] == waiting
    assert triggers["running"]["query"] == 'sum(vllm:num_requests_running{namespace="sar",service="demo-sarlens-qwen"})'
    assert float(triggers["running"]["threshold"]) > 10_000
    (settings,) = (item["data"] for item in of_kind(objects, "ConfigMap") if "SARLENS_HOST" in item["data"])
    assert json.loads(settings["SARLENS_WORKER__MODELS"]) == ["qwen", "ships", "ice"]
    assert settings["SARLENS_ADMISSION__QUEUE_TIMEOUT_S"] == "1860"
    own = merged(everything(), {"workers": [worker], "settings": {"admission": {"queue_timeout_s": 7}}})
    (settings,) = (item["data"] for item in of_kind(render(own), "ConfigMap") if "SARLENS_HOST" in item["data"])
    assert settings["SARLENS_ADMISSION__QUEUE_TIMEOUT_S"] == "7"
    (hook,) = of_kind(objects, "Pod")
    assert '"/health"' not in hook["spec"]["containers"][0]["args"][0]
    with pytest.raises(helm.HelmError, match="minReplicas 0 requires discovery: kubernetes"):
        render(everything() | {"workers": [worker], "discovery": "dns"})


def test_the_gateway_of_one_gpu_keeps_it_busy() -> None:
    """At 70 % of its cores, the gateway renders the 40 new images a second of one GPU, even the most costly ones."""
    performance = (CHART.parents[1] / "docs/explanation/performance.md").read_text()
    costly_ms = max(float(ms) for ms in re.findall(r"\| 2048² DEFLATE → 448 \| now \|.*\| ([\d.]+) \(", performance))
    cores = float(container(rendered("values-single-gpu.yaml"), "Deployment")["resources"]["requests"]["cpu"])
    assert cores * 0.7 / costly_ms * 1000 > 40


def test_survey_jobs_are_persistent() -> None:
    """Survey jobs are in PostgreSQL, or on a volume that survives pod and release and has one writer at a time."""
    (claim,) = of_kind(rendered("values-single-gpu.yaml"), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (gateway,) = of_kind(rendered("values-single-gpu.yaml"), "Deployment")
    assert gateway["spec"]["strategy"] == {"type": "Recreate"}
    (volume,) = (item for item in gateway["spec"]["template"]["spec"]["volumes"] if item["name"] == "surveys")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    fleet = container(rendered("values-production.yaml"), "Deployment")
    (database,) = (item for item in fleet["env"] if item["name"] == "SARLENS_SURVEY__DATABASE")
    assert database["valueFrom"] == {"secretKeyRef": {"name": "sarlens-postgresql", "key": "url"}}
    assert "surveys" not in {mount["name"] for mount in fleet["volumeMounts"]}


def test_secrets_come_by_reference() -> None:
    """Secret settings come from the key of a Secret, and no object holds their values."""
    for item in container(rendered(EVERYTHING), "Deployment")["env"]:
        assert "value" not in item
    text = json.dumps(rendered(EVERYTHING))
    assert not re.search(r'"SARLENS_(KEYS__REDIS_URL|SURVEY__DATABASE|WORKER__API_KEY)": ', text)


def image_id_secret(objects: list[Object]) -> str:
    """The generated secret of image ids, which the gateway reads by reference."""
    (secret,) = of_kind(objects, "Secret")
    (variable,) = (
        item for item in container(objects, "Deployment")["env"] if item["name"] == "SARLENS_WORKER__IMAGE_ID_SECRET"
    )
    (key,) = secret["data"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": secret["metadata"]["name"], "key": key}}
    return base64.b64decode(secret["data"][key]).decode()


def test_the_secret_of_image_ids_is_generated_once(tmp_path: Path) -> None:
    """An installation has 43 random characters, an upgrade keeps them, and a Secret of your own replaces them."""
    values = values_of("values-dev.yaml")
    first, second = image_id_secret(render(values)), image_id_secret(render(values))
    assert (len(first), len(second), first == second) == (43, 43, False)
    installed = shutil.copytree(CHART, tmp_path / "sarlens")
    template = installed / "templates/gateway/secret.yaml"
    lookup = 'lookup "v1" "Secret" .Release.Namespace $name'
    assert lookup in template.read_text()
    in_cluster = '(dict "data" (dict "image-id-secret" "a2VwdCBmcm9tIHRoZSBpbnN0YWxsYXRpb24="))'
    template.write_text(template.read_text().replace(lookup, in_cluster))
    assert image_id_secret(render(values, installed)) == "kept from the installation"
    own = {"secrets": {"worker.image_id_secret": {"secretName": "mine", "key": "secret"}}}
    objects = render(merged(values, own))
    assert not of_kind(objects, "Secret")
    assert {
        "name": "SARLENS_WORKER__IMAGE_ID_SECRET",
        "valueFrom": {"secretKeyRef": {"name": "mine", "key": "secret"}},
    } in container(objects, "Deployment")["env"]


def test_a_gateway_with_grpc_tls_has_no_grpc_route() -> None:
    """With gRPC over TLS, the chart has no GRPCRoute, because a GRPCRoute connects without TLS."""
    tls = {"gateway": {"grpc": {"tlsSecretName": "tls"}}, "gatewayApi": {"grpcHostnames": []}}
    objects = render(merged(everything(), tls))
    assert of_kind(objects, "HTTPRoute")
    assert not of_kind(objects, "GRPCRoute")


async def test_the_helm_test_hook_waits_for_a_worker(worker: FakeWorker) -> None:
    """The script of `helm test` repeats its checks of REST and gRPC until a worker is ready, or the time is over."""
    (hook,) = of_kind(rendered("values-dev.yaml"), "Pod")
    (script,) = hook["spec"]["containers"][0]["args"]
    assert "deadline = time.monotonic() + 660\n" in script  # startupSeconds, and a minute
    assert hook["spec"]["activeDeadlineSeconds"] == 720
    port, management = free_port(), free_port()
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,), probe_interval_s=0.1),
        grpc=GrpcSettings(port=port),
        management=ManagementSettings(port=management),
    )
    worker.health_status = 503
    async with gateway(settings, ready=False) as url, asyncio.timeout(60):
        script = script.replace("http://demo-sarlens:8080", url).replace("demo-sarlens:8081", f"127.0.0.1:{port}")
        script = script.replace("demo-sarlens-management:8082", f"127.0.0.1:{management}")
        process = await _run(script)
        assert process.stdout
        while b"No worker is ready" not in await process.stdout.readline():
            pass
        worker.health_status = 200
        assert (await process.communicate())[0].endswith(b"SERVING\n")
        assert process.returncode == 0
    too_late = await _run(script.replace("monotonic() + 660", "monotonic() - 1"))
    await too_late.communicate()
    assert too_late.returncode == 1


async def _run(script: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(("values", "model", "size"), [("values-production.yaml", "sarlang-qwen", 448)])
def test_profiles_reach_the_gateway(values: str, model: str, size: int, tmp_path: Path) -> None:
    """The values' text is the file that SARLENS_PROFILES names in the pod, it is valid, and a change restarts pods."""
    objects = rendered(values)
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap") if "data" in item}
    gateway = next(item for item in of_kind(objects, "Deployment") if item["metadata"]["name"] == "demo-sarlens")
    pod = gateway["spec"]["template"]["spec"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "profiles"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "profiles"]
    ((name, text),) = maps[volume["configMap"]["name"]].items()
    assert json.loads(maps["demo-sarlens"]["SARLENS_PROFILES"]) == [f"{mount['mountPath']}/{name}"]
    (tmp_path / name).write_text(text)
    assert load_profiles((tmp_path / name,)).of(model).size == size
    changed = render(merged(values_of(values), {"profiles": "[profiles.x]\nsize = 64\n"}))
    other = next(item for item in of_kind(changed, "Deployment") if item["metadata"]["name"] == "demo-sarlens")
    checksums = [item["spec"]["template"]["metadata"]["annotations"]["checksum/settings"] for item in (gateway, other)]
    assert checksums[0] != checksums[1]
