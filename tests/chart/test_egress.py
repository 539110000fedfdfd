"""Egress that follows from the addresses in the values, and identities of pods."""

from __future__ import annotations

from typing import Any

import pytest

from chart.rendering import EVERYTHING, Object, everything, merged, of_kind, pods, render, rendered, validate

ANYWHERE = [
    {"namespaceSelector": {}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}},
]
AGENT = {
    "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}],
    "ports": [{"port": 80, "protocol": "TCP"}],
}


def namespace(name: str) -> list[Object]:
    """Peers of a rule for all pods of a namespace."""
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]


def egress(values: dict[str, Any], name: str = "demo-sarlens") -> list[Object]:
    """The egress rules of a NetworkPolicy."""
    (policy,) = (item for item in of_kind(render(values), "NetworkPolicy") if item["metadata"]["name"] == name)
    validate(policy)
    rules: list[Object] = policy["spec"]["egress"]
    return rules


@pytest.mark.parametrize(
    ("url", "peers", "port"),
    [
        ("http://minio:9000", namespace("sar"), 9000),
        ("http://minio.storage.svc:9000", namespace("storage"), 9000),
        ("https://minio.svcs.svc.cluster.local", namespace("svcs"), 443),
        ("http://10.1.2.3", [{"ipBlock": {"cidr": "10.1.2.3/32"}}], 80),
        ("http://[fd00::5]:9000", [{"ipBlock": {"cidr": "fd00::5/128"}}], 9000),
        ("http://s3.example.com:9000", ANYWHERE, 9000),
    ],
)
def test_the_address_of_a_server_is_allowed(url: str, peers: list[Object], port: int) -> None:
    """A Service is allowed by its namespace, an address as it is, and other names but for the metadata service."""
    rule = {"to": peers, "ports": [{"port": port, "protocol": "TCP"}]}
    assert rule in egress(merged(everything(), {"settings": {"s3": {"endpoint": url}}}))
    assert rule in egress(merged(everything(), {"settings": {"tracing": {"endpoint": url}}}))


def test_workers_elsewhere_are_allowed() -> None:
    """Locations of workers, of every kind but files, are allowed once each."""
    urls = ["http://gpu-1.example.com:8000", "triton://10.0.0.9:8001", "kubernetes://gpus/vllm:8000", "file:///w.json"]
    rules = egress(merged(everything(), {"settings": {"worker": {"urls": [*urls, urls[0]]}}}))
    wanted = [(ANYWHERE, 8000), ([{"ipBlock": {"cidr": "10.0.0.9/32"}}], 8001), (namespace("gpus"), 8000)]
    for peers, port in wanted:
        assert rules.count({"to": peers, "ports": [{"port": port, "protocol": "TCP"}]}) == 1


def test_the_collector_of_a_worker_is_allowed_with_dns() -> None:
    """`--otlp-traces-endpoint` opens its port, and DNS; a worker without any rule has no egress at all."""
    for args in (["--otlp-traces-endpoint", "http://otel.obs.svc:4317"], ["--otlp-traces-endpoint=otel.obs.svc:4317"]):
        worker = everything()["workers"][0] | {"extraArgs": args}
        rules = egress(everything() | {"workers": [worker]}, "demo-sarlens-qwen")
        assert rules[-1] == {"to": namespace("obs"), "ports": [{"port": 4317, "protocol": "TCP"}]}
        assert [rule["ports"][0]["port"] for rule in rules] == [53, 5353, 4317]
    plain = everything()["workers"][0] | {"extraArgs": []}
    assert egress(everything() | {"workers": [plain]}, "demo-sarlens-qwen") == []


def test_a_port_in_egress_replaces_the_address_of_a_secret() -> None:
    """A rule of your own for the usual port of Valkey or PostgreSQL, or without a NetworkPolicy no rule, is enough."""
    secrets = {"keys.redis_url": {"address": ""}, "survey.database": {"address": ""}}
    own = {"gateway": {"egress": [{"ports": [{"port": 6379}, {"port": 5432}]}]}}
    assert render(merged(merged(everything(), {"secrets": secrets}), own))
    assert render(merged(everything(), {"secrets": secrets, "networkPolicy": {"enabled": False}}))


def test_the_agent_of_pod_identity_is_allowed() -> None:
    """EKS Pod Identity hands out credentials at a link-local address, which nothing else opens."""
    assert AGENT not in egress(everything())
    assert AGENT in egress(merged(everything(), {"gateway": {"serviceAccount": {"podIdentity": True}}}))
    worker = merged(everything()["workers"][0], {"serviceAccount": {"podIdentity": True}})
    assert AGENT in egress(everything() | {"workers": [worker]}, "demo-sarlens-qwen")


def test_an_account_of_your_own_has_the_role() -> None:
    """Without `create`, no ServiceAccount is rendered, and the Role is bound to yours."""
    worker = merged(everything()["workers"][0], {"serviceAccount": {"create": False, "name": "weights"}})
    account = {"serviceAccount": {"create": False, "name": "mine"}}
    objects = render(merged(everything(), {"gateway": account, "workers": [worker]}))
    assert not of_kind(objects, "ServiceAccount")
    (binding,) = of_kind(objects, "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": "sar"}]


def test_openshift_assigns_the_ids() -> None:
    """On OpenShift, pods name no user or group, and still don't run as root."""
    fixed = {"runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy"}
    for pod in pods(render(everything() | {"openshift": True})):
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for pod in pods(rendered(EVERYTHING)):
        assert fixed <= pod["spec"]["securityContext"].keys()


def test_a_claim_of_your_own_stores_the_surveys() -> None:
    """`surveys.existingClaim` replaces the chart's claim, which the release keeps unless `retain` is false."""
    values = {**everything(), "secrets": {}, "gateway": {"replicas": 1}}
    own = render(values | {"surveys": {"existingClaim": "mine"}})
    assert not of_kind(own, "PersistentVolumeClaim")
    (deployment,) = of_kind(own, "Deployment")
    (volume,) = (item for item in deployment["spec"]["template"]["spec"]["volumes"] if item["name"] == "surveys")
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (claim,) = of_kind(render(values | {"surveys": {"size": "5Gi", "retain": False}}), "PersistentVolumeClaim")
    assert "annotations" not in claim["metadata"]
