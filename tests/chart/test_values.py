"""The values that the chart takes, and those that it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import helm_python as helm
import pytest

from chart.rendering import everything, merged, render
from chart.settings_schema import SCHEMA, secrets_schema, settings_schema

WORKER = everything()["workers"][0]


def test_the_schema_follows_from_the_code() -> None:
    """What values.schema.json says of settings and secrets is what the Settings class takes."""
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert {key: value for key, value in properties["settings"].items() if key != "description"} == settings_schema()
    assert {key: value for key, value in properties["secrets"].items() if key != "description"} == secrets_schema()


def test_a_worker_may_say_what_the_defaults_say() -> None:
    """A worker takes each value that workerDefaults has, by the same schema, beside its name and its model."""
    defined = json.loads(SCHEMA.read_text())["$defs"]
    own = dict(defined["worker"]["properties"])
    assert own.keys() - defined["workerDefaults"]["properties"].keys() == {"name", "model"}
    assert {key: own[key] for key in defined["workerDefaults"]["properties"]} == defined["workerDefaults"]["properties"]


def _refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(named)):
        render(merged(everything(), wrong))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replicas": -1}}, "replicas"),
        ({"gateway": {"replicas": "two"}}, "replicas"),
        ({"gateway": {"preStopSeconds": 0}}, "preStopSeconds"),
        ({"gateway": {"resources": {"limits": {"memory": "3 GB"}}}}, "memory"),
        ({"gateway": {"image": {"digest": "latest"}}}, "digest"),
        ({"settings": {"s3": {"endpont": "http://x"}}}, "endpont"),
        ({"settings": {"routing": {"policy": "random"}}}, "policy"),
        ({"settings": {"drain_s": "soon"}}, "drain_s"),
        ({"settings": {"port": 99}}, "port"),
        ({"settings": {"worker": {"api_key": "secret"}}}, "api_key"),
        ({"secrets": {"s3.secret": {"secretName": "x", "key": "y"}}}, "s3.secret"),
        ({"surveys": {"size": "a lot"}}, "size"),
        ({"discovery": "consul"}, "discovery"),
        ({"workers": [{"name": "a"}]}, "model"),
        ({"workers": [{"name": "A_b", "model": "m"}]}, "name"),
        ({"monitoring": {"serviceMonitor": {"interval": "often"}}}, "interval"),
    ],
)
def test_typos_and_wrong_types_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    """A typo or a wrong type ends the installation with a message that names it."""
    _refused(wrong, named)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tensorParallelSize": 4}, "workers[0] (qwen): tensorParallelSize 4 is more than gpu.count 2"),
        ({"imageCacheGb": 0}, "imageCacheGb"),
        ({"gpu": {"count": -1}}, "count"),
        ({"loraAdapters": [{"name": "ships"}]}, "path"),
        ({"model": "s3://models/qwen"}, "workers[0] (qwen): the model s3://models/qwen is downloaded, but egress"),
        ({"extraArgs": ["--api-server-count", "4"]}, "extraArgs may not hold --api-server-count"),
        ({"extraArgs": ["--no-enable-prefix-caching"]}, "extraArgs may not hold --enable-prefix-caching"),
        ({"extraArgs": ["--allowed_media_domains=example.com"]}, "extraArgs may not hold --allowed-media-domains"),
        ({"autoscaling": {"enabled": True, "prometheus": ""}}, "autoscaling.prometheus"),
        ({"autoscaling": {"minReplicas": 0}}, "minReplicas"),
        ({"autoscaling": {"minReplicas": 9}}, "autoscaling.minReplicas 9 is more than maxReplicas 4"),
    ],
)
def test_workers_that_cannot_work_are_refused(wrong: dict[str, Any], named: str) -> None:
    """A worker that could not start, download its model, scale, or serve as the router needs it, is refused by name."""
    _refused({"workers": [merged(WORKER, wrong)]}, named)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"keys": {"secretName": "", "open": False}}, "keys.secretName"),
        ({"workers": []}, "settings.worker.urls"),
        ({"workers": [WORKER, WORKER]}, "workers[1] (qwen): another worker has this name"),
        ({"gateway": {"autoscaling": {"minReplicas": 11}}}, "gateway.autoscaling.minReplicas 11"),
        ({"gateway": {"grpc": {"clientCaSecretName": "ca"}}}, "gateway.grpc.clientCaSecretName"),
        ({"gateway": {"grpc": {"tlsSecretName": "tls"}}}, "gatewayApi.grpcHostnames"),
        ({"gatewayApi": {"grpcHostnames": ["sar.example.com"]}}, "sar.example.com is among the hostnames too"),
        ({"gatewayApi": {"parentRefs": []}}, "gatewayApi.parentRefs"),
        ({"ingress": {"host": ""}}, "ingress.host"),
        ({"surveys": {"size": "5Gi"}}, "surveys.size"),
    ],
)
def test_values_that_do_not_go_together_are_refused(wrong: dict[str, Any], named: str) -> None:
    """Values that are each possible, and together are not, are refused with a sentence that names one to change."""
    _refused(wrong, named)


@pytest.mark.parametrize("gateway", [{"autoscaling": {"enabled": True}}, {"replicas": 2}])
def test_several_gateways_share_their_surveys(gateway: dict[str, Any]) -> None:
    """Several gateways without a PostgreSQL are refused, with a volume too, unless each may keep surveys to itself."""
    values = {**everything(), "gateway": gateway, "secrets": {}}
    with pytest.raises(helm.HelmError, match=r"secrets\.survey\.database has to name a PostgreSQL"):
        render(values)
    with pytest.raises(helm.HelmError, match="several gateways cannot share a file"):
        render(values | {"surveys": {"unshared": True, "size": "5Gi"}})
    assert render(values | {"surveys": {"unshared": True}})
