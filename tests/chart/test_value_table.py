"""Each value of the chart, and the place in a rendered object that it reaches."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, Object, everything, merged, render, validate

_GATEWAY_POD = ("Deployment", "demo-sarlens", "spec.template.spec")
_WORKER_POD = ("StatefulSet", "demo-sarlens-qwen", "spec.template.spec")

Place = tuple[str, str, str]
"""Kind and name of an object, and a path in it: keys, indexes, and ``[name]`` for the item of a list with that name."""


def gateway_pod(path: str) -> Place:
    """A place in the pods of gateways."""
    return (*_GATEWAY_POD[:2], f"{_GATEWAY_POD[2]}.{path}")


def worker_pod(path: str) -> Place:
    """A place in the pods of workers."""
    return (*_WORKER_POD[:2], f"{_WORKER_POD[2]}.{path}")


def gateway_container(path: str) -> Place:
    """A place in the container of gateways."""
    return gateway_pod(f"containers.0.{path}")


def worker_container(path: str) -> Place:
    """A place in the container of workers."""
    return worker_pod(f"containers.0.{path}")


SERVICE = ("Service", "demo-sarlens", "spec")
WORKER_SET = ("StatefulSet", "demo-sarlens-qwen", "spec")
SCALED = ("ScaledObject", "demo-sarlens-qwen", "spec")
SCALING = "workerDefaults.autoscaling"
LABEL = {"team": "ice"}
SPREAD = [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
TOLERATIONS = [{"key": "sar", "operator": "Exists"}]
AFFINITY = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]}}
VARIABLE = [{"name": "A", "value": "b"}]
EXTRA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b"}}
FROM = [{"secretRef": {"name": "mine"}}]
PEER = [{"podSelector": {"matchLabels": LABEL}}]
RULE = [{"to": PEER, "ports": [{"port": 9000, "protocol": "TCP"}]}]
VOLUMES = [{"name": "more", "emptyDir": {}}]
MOUNTS = [{"name": "more", "mountPath": "/more"}]
HELPER = [{"name": "helper", "image": "busybox:1"}]
CLAIM = "persistentVolumeClaim.claimName"
DIGEST = "sha256:" + "0" * 64


def _probe_rows(owner: str, container: Any) -> list[tuple[str, Any, Place, Any]]:
    fields = {"periodSeconds": 7, "timeoutSeconds": 3, "failureThreshold": 11}
    return [
        (f"{owner}.probes.{probe}.{field}", value, container(f"{probe}Probe.{field}"), value)
        for probe in ("startup", "liveness", "readiness")
        for field, value in fields.items()
        if (owner, probe, field) != ("workerDefaults", "startup", "failureThreshold")
    ]


def _pod_rows(owner: str, kind: str, name: str) -> list[tuple[str, Any, Place, Any]]:
    """Escape hatches that gateways and workers have in common."""

    def pod(path: str) -> Place:
        return kind, name, f"spec.template.spec.{path}"

    strategy, way = ("strategy", "Recreate") if kind == "Deployment" else ("updateStrategy", "OnDelete")
    return [
        (f"{owner}.updateStrategy", {"type": way}, (kind, name, f"spec.{strategy}.type"), way),
        (f"{owner}.revisionHistoryLimit", 3, (kind, name, "spec.revisionHistoryLimit"), 3),
        (f"{owner}.extraVolumes", VOLUMES, pod("volumes.[more].emptyDir"), {}),
        (f"{owner}.extraVolumeMounts", MOUNTS, pod("containers.0.volumeMounts.[more].mountPath"), "/more"),
        (f"{owner}.initContainers", HELPER, pod("initContainers"), HELPER),
        (f"{owner}.sidecars", HELPER, pod("containers.1"), HELPER[0]),
        (f"{owner}.podSecurityContext", {"runAsUser": 7}, pod("securityContext.runAsUser"), 7),
        (f"{owner}.podSecurityContext", {"runAsUser": 7}, pod("securityContext.runAsNonRoot"), True),
        (f"{owner}.securityContext", {"runAsGroup": 7}, pod("containers.0.securityContext.runAsGroup"), 7),
        (f"{owner}.hostAliases", [{"ip": "10.0.0.1"}], pod("hostAliases"), [{"ip": "10.0.0.1"}]),
        (f"{owner}.dnsPolicy", "None", pod("dnsPolicy"), "None"),
        (f"{owner}.dnsConfig", {"nameservers": ["10.0.0.1"]}, pod("dnsConfig.nameservers"), ["10.0.0.1"]),
        (f"{owner}.schedulerName", "volcano", pod("schedulerName"), "volcano"),
        ("caBundle", {"configMapName": "ca"}, pod("volumes.[ca].configMap.name"), "ca"),
        ("caBundle", {"secretName": "ca"}, pod("volumes.[ca].secret.secretName"), "ca"),
        ("caBundle", {"secretName": "ca"}, pod("containers.0.volumeMounts.[ca].mountPath"), "/etc/sarlens/ca"),
        (
            "caBundle",
            {"secretName": "ca", "key": "own.pem"},
            pod("containers.0.env.[AWS_CA_BUNDLE].value"),
            "/etc/sarlens/ca/own.pem",
        ),
        (f"{owner}.serviceAccount", {"create": False, "name": "mine"}, pod("serviceAccountName"), "mine"),
    ]


TABLE: list[tuple[str, Any, Place, Any]] = [
    ("imagePullSecrets", [{"name": "r"}], gateway_pod("imagePullSecrets"), [{"name": "r"}]),
    ("imagePullSecrets", [{"name": "r"}], worker_pod("imagePullSecrets"), [{"name": "r"}]),
    ("imagePullSecrets", [{"name": "r"}], ("Pod", "demo-sarlens-test", "spec.imagePullSecrets"), [{"name": "r"}]),
    ("commonLabels", LABEL, ("Service", "demo-sarlens", "metadata.labels.team"), "ice"),
    ("nameOverride", "radar", ("Deployment", "demo-radar", "metadata.name"), "demo-radar"),
    ("fullnameOverride", "radar", ("Deployment", "radar", "metadata.name"), "radar"),
    ("listenAddress", "0.0.0.0", ("ConfigMap", "demo-sarlens", "data.SARLENS_HOST"), "0.0.0.0"),
    ("listenAddress", "0.0.0.0", ("ConfigMap", "demo-sarlens", "data.SARLENS_MANAGEMENT__HOST"), "0.0.0.0"),
    ("listenAddress", "0.0.0.0", worker_container("args.[--host]"), "0.0.0.0"),
    ("discovery", "dns", gateway_pod("automountServiceAccountToken"), False),
    (
        "discovery",
        "dns",
        ("ConfigMap", "demo-sarlens", "data.SARLENS_WORKER__URLS"),
        '["dns://demo-sarlens-qwen.sar.svc:8000"]',
    ),
    ("settings.drain_timeout_s", 99, gateway_pod("terminationGracePeriodSeconds"), 114),
    ("settings.drain_timeout_s", 99, ("ConfigMap", "demo-sarlens", "data.SARLENS_DRAIN_TIMEOUT_S"), "99"),
    ("keys.secretName", "mine", gateway_pod("volumes.[keys].secret.secretName"), "mine"),
    ("keys.key", "k.json", ("ConfigMap", "demo-sarlens", "data.SARLENS_KEYS__FILE"), "/etc/sarlens/keys/k.json"),
    ("keys.allowAnonymous", True, ("ConfigMap", "demo-sarlens", "data.SARLENS_KEYS__ALLOW_ANONYMOUS"), "true"),
    ("profiles", "[profiles.a]\n", ("ConfigMap", "demo-sarlens-profiles", "data.[profiles.toml]"), "[profiles.a]\n"),
    # Gateways
    ("gateway.image.repository", "r/s", gateway_container("image"), "r/s:0.1.0"),
    ("gateway.image.tag", "9", gateway_container("image"), "sarlens:9"),
    ("gateway.image.digest", DIGEST, gateway_container("image"), f"sarlens@{DIGEST}"),
    ("gateway.image.pullPolicy", "Always", gateway_container("imagePullPolicy"), "Always"),
    ("gateway.processes", 3, gateway_container("args.2"), "3"),
    ("gateway.resources", {"requests": {"cpu": "7"}}, gateway_container("resources.requests.cpu"), "7"),
    ("gateway.progressDeadlineSeconds", 700, ("Deployment", "demo-sarlens", "spec.progressDeadlineSeconds"), 700),
    ("gateway.preStopSeconds", 9, gateway_container("lifecycle.preStop.sleep.seconds"), 9),
    ("gateway.preStopSeconds", 9, gateway_pod("terminationGracePeriodSeconds"), 49),
    ("gateway.service.type", "LoadBalancer", (*SERVICE[:2], "spec.type"), "LoadBalancer"),
    ("gateway.service.ipFamilyPolicy", "PreferDualStack", (*SERVICE[:2], "spec.ipFamilyPolicy"), "PreferDualStack"),
    ("gateway.service.ipFamilies", ["IPv6"], (*SERVICE[:2], "spec.ipFamilies"), ["IPv6"]),
    ("gateway.service.annotations", LABEL, (*SERVICE[:2], "metadata.annotations"), LABEL),
    *_probe_rows("gateway", gateway_container),
    *_pod_rows("gateway", "Deployment", "demo-sarlens"),
    ("gateway.serviceAccount.name", "mine", gateway_pod("serviceAccountName"), "mine"),
    (
        "gateway.serviceAccount.annotations",
        {"role": "mine"},
        ("ServiceAccount", "demo-sarlens", "metadata.annotations.role"),
        "mine",
    ),
    ("gateway.autoscaling.minReplicas", 3, ("HorizontalPodAutoscaler", "demo-sarlens", "spec.minReplicas"), 3),
    ("gateway.autoscaling.maxReplicas", 30, ("HorizontalPodAutoscaler", "demo-sarlens", "spec.maxReplicas"), 30),
    (
        "gateway.autoscaling.cpuPercent",
        55,
        ("HorizontalPodAutoscaler", "demo-sarlens", "spec.metrics.0.resource.target.averageUtilization"),
        55,
    ),
    (
        "gateway.podDisruptionBudget.maxUnavailable",
        2,
        ("PodDisruptionBudget", "demo-sarlens", "spec.maxUnavailable"),
        2,
    ),
    ("gateway.topologySpread", SPREAD, gateway_pod("topologySpreadConstraints.0.topologyKey"), "rack"),
    ("gateway.allowFrom", PEER, ("NetworkPolicy", "demo-sarlens", "spec.ingress.0.from.0"), PEER[0]),
    ("gateway.egress", RULE, ("NetworkPolicy", "demo-sarlens", "spec.egress.-1"), RULE[0]),
    ("gateway.env", VARIABLE, gateway_container("env.[A].value"), "b"),
    ("gateway.envFrom", FROM, gateway_container("envFrom.1"), FROM[0]),
    ("gateway.podLabels", LABEL, ("Deployment", "demo-sarlens", "spec.template.metadata.labels.team"), "ice"),
    ("gateway.podAnnotations", LABEL, ("Deployment", "demo-sarlens", "spec.template.metadata.annotations.team"), "ice"),
    ("gateway.nodeSelector", {"disk": "ssd"}, gateway_pod("nodeSelector"), {"disk": "ssd"}),
    ("gateway.tolerations", TOLERATIONS, gateway_pod("tolerations"), TOLERATIONS),
    ("gateway.affinity", AFFINITY, gateway_pod("affinity"), AFFINITY),
    ("gateway.priorityClassName", "high", gateway_pod("priorityClassName"), "high"),
    # Workers
    ("workerDefaults.image.repository", "r/v", worker_container("image"), "r/v:v0.32.0"),
    ("workerDefaults.image.tag", "9", worker_container("image"), "vllm/vllm-openai:9"),
    ("workerDefaults.image.digest", DIGEST, worker_container("image"), f"vllm/vllm-openai@{DIGEST}"),
    ("workerDefaults.image.pullPolicy", "Always", worker_container("imagePullPolicy"), "Always"),
    ("workerDefaults.servedModelName", "radar", worker_container("args.[--served-model-name]"), "radar"),
    ("workerDefaults.gpu.count", 4, worker_container("resources.limits.[nvidia.com/gpu]"), 4),
    ("workerDefaults.gpu.resource", "amd.com/gpu", worker_container("resources.requests.[amd.com/gpu]"), 2),
    ("workerDefaults.gpu.product", "L40S", worker_pod("nodeSelector.[nvidia.com/gpu.product]"), "L40S"),
    ("workerDefaults.tensorParallelSize", 1, worker_container("args.[--tensor-parallel-size]"), "1"),
    (
        "workerDefaults.loraAdapters",
        [{"name": "a", "path": "/m/a"}],
        worker_container("args.[--lora-modules]"),
        "a=/m/a",
    ),
    ("workerDefaults.maxLoraRank", 64, worker_container("args.[--max-lora-rank]"), "64"),
    ("workerDefaults.maxLoras", 0, worker_container("args.[--max-loras]"), "2"),
    ("workerDefaults.maxLoras", 1, worker_container("args.[--max-loras]"), "1"),
    ("workerDefaults.imageCacheGb", 0.5, worker_container("args.[--mm-processor-cache-gb]"), "0.5"),
    ("workerDefaults.extraArgs", ["--seed", "7"], worker_container("args.[--seed]"), "7"),
    ("workerDefaults.modelClaim", "c", worker_pod("volumes.[models].persistentVolumeClaim.claimName"), "c"),
    (
        "workerDefaults.cache.size",
        "7Gi",
        (*WORKER_SET[:2], "spec.volumeClaimTemplates.0.spec.resources.requests.storage"),
        "7Gi",
    ),
    (
        "workerDefaults.cache.storageClassName",
        "fast",
        (*WORKER_SET[:2], "spec.volumeClaimTemplates.0.spec.storageClassName"),
        "fast",
    ),
    ("workerDefaults.sharedMemory", "3Gi", worker_pod("volumes.[shm].emptyDir.sizeLimit"), "3Gi"),
    ("workerDefaults.resources", {"limits": {"memory": "9Gi"}}, worker_container("resources.limits.memory"), "9Gi"),
    (
        "workerDefaults.serviceAccount.annotations",
        {"role": "mine"},
        ("ServiceAccount", "demo-sarlens-qwen", "metadata.annotations.role"),
        "mine",
    ),
    ("workerDefaults.preStopSeconds", 7, worker_container("lifecycle.preStop.sleep.seconds"), 7),
    ("workerDefaults.preStopSeconds", 7, worker_pod("terminationGracePeriodSeconds"), 157),
    ("workerDefaults.shutdownTimeoutSeconds", 60, worker_container("args.[--shutdown-timeout]"), "60"),
    ("workerDefaults.shutdownTimeoutSeconds", 60, worker_pod("terminationGracePeriodSeconds"), 100),
    ("workerDefaults.startupSeconds", 61, worker_container("startupProbe.failureThreshold"), 13),
    *_probe_rows("workerDefaults", worker_container),
    *_pod_rows("workerDefaults", "StatefulSet", "demo-sarlens-qwen"),
    ("workerDefaults.cache", {"size": "", "existingClaim": "mine"}, worker_pod(f"volumes.[cache].{CLAIM}"), "mine"),
    (
        "workerDefaults.cache.whenScaled",
        "Delete",
        (*WORKER_SET[:2], "spec.persistentVolumeClaimRetentionPolicy"),
        {"whenDeleted": "Retain", "whenScaled": "Delete"},
    ),
    (
        "workerDefaults.cache.whenDeleted",
        "Delete",
        (*WORKER_SET[:2], "spec.persistentVolumeClaimRetentionPolicy.whenDeleted"),
        "Delete",
    ),
    ("extraObjects", [EXTRA], ("ConfigMap", "more", "data.a"), "b"),
    ("extraObjects", [str(EXTRA).replace("more", "{{ .Release.Name }}-m")], ("ConfigMap", "demo-m", "data.a"), "b"),
    ("networkPolicy.dns", RULE, ("NetworkPolicy", "demo-sarlens", "spec.egress.1"), RULE[0]),
    ("networkPolicy.dns", RULE, ("NetworkPolicy", "demo-sarlens-qwen", "spec.egress.0"), RULE[0]),
    ("workerDefaults.autoscaling.minReplicas", 2, (*SCALED[:2], "spec.minReplicaCount"), 2),
    ("workerDefaults.autoscaling.maxReplicas", 9, (*SCALED[:2], "spec.maxReplicaCount"), 9),
    (
        "workerDefaults.autoscaling.prometheus",
        "http://p:1",
        (*SCALED[:2], "spec.triggers.[waiting].metadata.serverAddress"),
        "http://p:1",
    ),
    (f"{SCALING}.queued", 9, (*SCALED[:2], "spec.triggers.[queued].metadata.threshold"), "9"),
    (f"{SCALING}.pollingSeconds", 5, (*SCALED[:2], "spec.pollingInterval"), 5),
    (f"{SCALING}.fallbackReplicas", 3, (*SCALED[:2], "spec.fallback"), {"failureThreshold": 3, "replicas": 3}),
    (f"{SCALING}.bearerToken.secretName", "t", (*SCALED[:2], "spec.triggers.[waiting].metadata.authModes"), "bearer"),
    (
        f"{SCALING}.bearerToken",
        {"secretName": "t", "key": "k"},
        ("TriggerAuthentication", "demo-sarlens-qwen", "spec.secretTargetRef"),
        [{"parameter": "bearerToken", "name": "t", "key": "k"}],
    ),
    (
        f"{SCALING}.workerSelector",
        'job="v"',
        (*SCALED[:2], "spec.triggers.[waiting].metadata.query"),
        'sum(vllm:num_requests_waiting{job="v"})',
    ),
    (
        f"{SCALING}.gatewaySelector",
        'job="g"',
        (*SCALED[:2], "spec.triggers.[queued].metadata.query"),
        'sum(sarlens_queued_requests{job="g"})',
    ),
    ("workerDefaults.autoscaling.waiting", 3, (*SCALED[:2], "spec.triggers.[waiting].metadata.threshold"), "3"),
    (
        "workerDefaults.autoscaling.kvCachePercent",
        70,
        (*SCALED[:2], "spec.triggers.[kv-cache].metadata.threshold"),
        "70",
    ),
    (
        "workerDefaults.autoscaling.cooldownSeconds",
        77,
        (*SCALED[:2], "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds"),
        77,
    ),
    (
        "workerDefaults.podDisruptionBudget.maxUnavailable",
        "20%",
        ("PodDisruptionBudget", "demo-sarlens-qwen", "spec.maxUnavailable"),
        "20%",
    ),
    ("workerDefaults.topologySpread", SPREAD, worker_pod("topologySpreadConstraints.0.maxSkew"), 2),
    ("workerDefaults.egress", RULE, ("NetworkPolicy", "demo-sarlens-qwen", "spec.egress.2"), RULE[0]),
    ("workerDefaults.env", VARIABLE, worker_container("env.[A].value"), "b"),
    ("workerDefaults.envFrom", FROM, worker_container("envFrom.0"), FROM[0]),
    ("workerDefaults.podLabels", LABEL, (*WORKER_SET[:2], "spec.template.metadata.labels.team"), "ice"),
    ("workerDefaults.podAnnotations", LABEL, (*WORKER_SET[:2], "spec.template.metadata.annotations.team"), "ice"),
    ("workerDefaults.nodeSelector", {"disk": "ssd"}, worker_pod("nodeSelector.disk"), "ssd"),
    ("workerDefaults.tolerations", TOLERATIONS, worker_pod("tolerations"), TOLERATIONS),
    ("workerDefaults.affinity", AFFINITY, worker_pod("affinity"), AFFINITY),
    ("workerDefaults.priorityClassName", "high", worker_pod("priorityClassName"), "high"),
    ("workerDefaults.runtimeClassName", "nvidia", worker_pod("runtimeClassName"), "nvidia"),
    # Network and monitoring
    ("istio.enabled", True, worker_pod("containers.0.name"), "vllm"),
    (
        "istio.enabled",
        True,
        (*_GATEWAY_POD[:2], "spec.template.metadata.annotations.[traffic.sidecar.istio.io/excludeInboundPorts]"),
        "8082",
    ),
    ("networkPolicy.scrapeFrom", PEER, ("NetworkPolicy", "demo-sarlens", "spec.ingress.1.from.1"), PEER[0]),
    ("networkPolicy.scrapeFrom", PEER, ("NetworkPolicy", "demo-sarlens-qwen", "spec.ingress.0.from.1"), PEER[0]),
    (
        "monitoring.serviceMonitor.interval",
        "9s",
        ("ServiceMonitor", "demo-sarlens-worker", "spec.endpoints.0.interval"),
        "9s",
    ),
    (
        "monitoring.serviceMonitor.labels",
        LABEL,
        ("ServiceMonitor", "demo-sarlens-worker", "metadata.labels.team"),
        "ice",
    ),
    *(
        (f"monitoring.rules.objectives.{name}", value, ("PrometheusRule", "demo-sarlens", place), expected)
        for name, value, place, expected in (
            ("availabilityPercent", 99.5, "spec.groups.[sarlens-objectives].rules.0.expr", "vector(0.005)"),
            ("latencyPercent", 95, "spec.groups.[sarlens-objectives].rules.1.expr", "vector(0.05)"),
            ("firstTokenPercent", 99.9, "spec.groups.[sarlens-objectives].rules.2.expr", "vector(0.001)"),
        )
    ),
    ("monitoring.rules.labels", LABEL, ("PrometheusRule", "demo-sarlens", "metadata.labels.team"), "ice"),
    ("monitoring.dashboards.labels", LABEL, ("ConfigMap", "demo-sarlens-dashboards", "metadata.labels.team"), "ice"),
    ("ingress.className", "nginx", ("Ingress", "demo-sarlens", "spec.ingressClassName"), "nginx"),
    (
        "ingress.hosts",
        ["a.example.com", "b.example.com"],
        ("Ingress", "demo-sarlens", "spec.rules.1.host"),
        "b.example.com",
    ),
    ("ingress.hosts", ["a.example.com", "b"], ("Ingress", "demo-sarlens", "spec.tls.0.hosts"), ["a.example.com", "b"]),
    ("ingress.tlsSecretName", "cert", ("Ingress", "demo-sarlens", "spec.tls.0.secretName"), "cert"),
    (
        "ingress.timeoutSeconds",
        90,
        ("Ingress", "demo-sarlens", "metadata.annotations.[nginx.ingress.kubernetes.io/proxy-read-timeout]"),
        "90",
    ),
    (
        "ingress.annotations",
        {"nginx.org/proxy-buffering": "True"},
        ("Ingress", "demo-sarlens", "metadata.annotations.[nginx.org/proxy-buffering]"),
        "True",
    ),
    (
        "settings.limit.max_body_bytes",
        100_000_000,
        ("Ingress", "demo-sarlens", "metadata.annotations.[nginx.ingress.kubernetes.io/proxy-body-size]"),
        "100000000",
    ),
    ("gatewayApi.parentRefs", [{"name": "x"}], ("GRPCRoute", "demo-sarlens", "spec.parentRefs"), [{"name": "x"}]),
    ("gatewayApi.hostnames", ["h.example.com"], ("HTTPRoute", "demo-sarlens", "spec.hostnames"), ["h.example.com"]),
    ("gatewayApi.grpcHostnames", ["g.example.com"], ("GRPCRoute", "demo-sarlens", "spec.hostnames"), ["g.example.com"]),
    ("gatewayApi.timeout", "9s", ("HTTPRoute", "demo-sarlens", "spec.rules.0.timeouts.request"), "9s"),
]
ELSEWHERE = {
    "secrets",
    "openshift",
    "caBundle",
    "gateway.serviceAccount",
    "workerDefaults.serviceAccount",
    "workers",
    "surveys",
    "gateway.replicas",
    "gateway.grpc",
    "workerDefaults.replicas",
    "istio.namespace",
    "networkPolicy.enabled",
    "monitoring.rules.runbook",
    "monitoring.rules.objectives",
}
"""Values that other tests of this package follow to their objects."""


def _nested(path: str, value: Any) -> dict[str, Any]:
    nested: Any = reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), value)
    return dict(nested)


def _values(path: str, value: Any) -> dict[str, Any]:
    """The values that enable every feature, with one changed; those of workerDefaults are the worker's own."""
    values = everything()
    owner, _, rest = path.partition(".")
    if owner != "workerDefaults":
        return dict(merged(values, _nested(path, value)))
    values["workers"] = [merged(values["workers"][0], _nested(rest, value))]
    return values


def _keys(path: str) -> list[str]:
    """The keys of a path; one in brackets may have dots."""
    keys, rest = list[str](), path
    while rest:
        key, _, rest = rest[1:].partition("]") if rest.startswith("[") else rest.partition(".")
        keys.append(key)
        rest = rest.removeprefix(".")
    return keys


def at(objects: list[Object], place: Place) -> Any:
    """Return what stands at a place; a key in a list is the name of an item, or the string before the wanted one."""
    kind, name, path = place
    (found,) = (item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name))
    inner: Any = found
    for key in _keys(path):
        if isinstance(inner, dict):
            inner = inner[key]
        elif key.lstrip("-").isdigit():
            inner = inner[int(key)]
        elif key in inner:
            inner = inner[inner.index(key) + 1]
        else:
            (inner,) = (item for item in inner if item["name"] == key)
    return inner


@pytest.mark.parametrize(("path", "value", "place", "expected"), TABLE, ids=lambda cell: str(cell)[:60])
def test_a_value_reaches_its_object(path: str, value: Any, place: Place, expected: Any) -> None:
    """A value stands where it works, in an object that is valid."""
    objects = render(_values(path, value))
    assert at(objects, place) == expected
    validate(next(item for item in objects if (item["kind"], item["metadata"]["name"]) == place[:2]))


def _leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
    leaves = list[str]()
    for key, value in values.items():
        path = f"{prefix}{key}"
        leaves += _leaves(value, f"{path}.") if isinstance(value, dict) and value else [path]
    return leaves


def test_every_value_has_a_row() -> None:
    """Each value of values.yaml is in the table, is followed by another test, or switches a feature of everything()."""
    known = {path for path, *_ in TABLE} | ELSEWHERE
    missing = [
        path
        for path in _leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
        if not path.endswith(".enabled") and not any(path == name or path.startswith(f"{name}.") for name in known)
    ]
    assert not missing
