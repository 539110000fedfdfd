"""Validation of the chart's values."""

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
    """The schemas of settings and secrets in values.schema.json follow from the Settings class."""
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert {key: value for key, value in properties["settings"].items() if key != "description"} == settings_schema()
    assert {key: value for key, value in properties["secrets"].items() if key != "description"} == secrets_schema()


def test_a_worker_overrides_every_default() -> None:
    """A worker has the values of workerDefaults, with the same schemas, plus its name and its model."""
    defined = json.loads(SCHEMA.read_text())["$defs"]
    own = dict(defined["worker"]["properties"])
    assert own.keys() - defined["workerDefaults"]["properties"].keys() == {"name", "model"}
    assert {key: own[key] for key in defined["workerDefaults"]["properties"]} == defined["workerDefaults"]["properties"]


def _assert_rejected(wrong: dict[str, Any], named: str) -> None:
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
        ({"settings": {"drain_timeout_s": "soon"}}, "drain_timeout_s"),
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
def test_typos_and_wrong_types_are_rejected_by_name(wrong: dict[str, Any], named: str) -> None:
    """A typo or a wrong type fails the installation with a message that names it."""
    _assert_rejected(wrong, named)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tensorParallelSize": 4}, "workers[0] (qwen): tensorParallelSize 4 is greater than gpu.count 2"),
        ({"imageCacheGb": 0}, "imageCacheGb"),
        ({"gpu": {"count": -1}}, "count"),
        ({"loraAdapters": [{"name": "ships"}]}, "path"),
        (
            {"model": "s3://models/qwen"},
            "workers[0] (qwen): the worker must download the model s3://models/qwen, but egress",
        ),
        ({"extraArgs": ["--api-server-count", "4"]}, "extraArgs must not contain --api-server-count"),
        ({"extraArgs": ["--no-enable-prefix-caching"]}, "extraArgs must not contain --enable-prefix-caching"),
        ({"extraArgs": ["--allowed_media_domains=example.com"]}, "extraArgs must not contain --allowed-media-domains"),
        ({"extraArgs": ["-tp", "2"]}, "extraArgs must not contain --tensor-parallel-size, which the chart sets"),
        ({"extraArgs": ["-asc=4"]}, "extraArgs must not contain --api-server-count, which the chart sets"),
        (
            {"extraArgs": ["--tensor-parallel-s=2"]},
            "extraArgs must not contain --tensor-parallel-size, which the chart",
        ),
        ({"extraArgs": ["--max_loras", "2"]}, "extraArgs must not contain --max-loras, which the chart sets"),
        ({"extraArgs": ["--root-p", "/v"]}, "extraArgs must not contain --root-path, since the gateway"),
        ({"extraArgs": ["--"]}, "extraArgs must not contain --model, which the chart sets"),
        ({"maxLoraRank": 24}, "maxLoraRank"),
        (
            {"serviceAccount": {"create": False}},
            "workers[0] (qwen): serviceAccount.name must be an account that exists",
        ),
        ({"cache": {"existingClaim": "mine"}}, "workers[0] (qwen): set cache.size or cache.existingClaim, not both"),
        ({"extraArgs": ["--api-key", "k"]}, "extraArgs must not contain --api-key, since the gateway"),
        ({"extraArgs": ["--ssl_keyfile=/k"]}, "extraArgs must not contain --ssl-keyfile, since the gateway"),
        ({"extraArgs": ["-dp", "2"]}, "extraArgs must not contain --data-parallel-size, since the gateway"),
        ({"autoscaling": {"enabled": True, "prometheus": ""}}, "autoscaling.prometheus"),
        ({"autoscaling": {"minReplicas": -1}}, "minReplicas"),
        ({"autoscaling": {"minReplicas": 9}}, "autoscaling.minReplicas 9 is greater than maxReplicas 4"),
    ],
)
def test_invalid_workers_are_rejected(wrong: dict[str, Any], named: str) -> None:
    """The chart rejects a worker that can't start, download its model, scale, or work with the router, and names it."""
    _assert_rejected({"workers": [merged(WORKER, wrong)]}, named)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"keys": {"secretName": "", "allowAnonymous": False}}, "keys.secretName"),
        ({"workers": []}, "settings.worker.urls"),
        ({"workers": [WORKER, WORKER]}, "workers[1] (qwen): another worker has the same name"),
        ({"gateway": {"autoscaling": {"minReplicas": 11}}}, "gateway.autoscaling.minReplicas 11"),
        ({"gateway": {"grpc": {"clientCaSecretName": "ca"}}}, "gateway.grpc.clientCaSecretName"),
        ({"gateway": {"grpc": {"tlsSecretName": "tls"}}}, "gatewayApi.grpcHostnames"),
        ({"gatewayApi": {"grpcHostnames": ["sar.example.com"]}}, "sar.example.com is also one of the hostnames"),
        ({"gatewayApi": {"parentRefs": []}}, "gatewayApi.parentRefs"),
        ({"ingress": {"hosts": []}}, "ingress.hosts"),
        ({"surveys": {"size": "5Gi"}}, "surveys.size"),
        (
            {"monitoring": {"serviceMonitor": {"enabled": False}}},
            "workers[0] (qwen): autoscaling requires the metrics of gateways and workers; set monitoring",
        ),
        ({"surveys": {"existingClaim": "mine"}}, "surveys.size"),
        ({"caBundle": {"configMapName": "a", "secretName": "b"}}, "caBundle: set configMapName or secretName"),
        (
            {"gateway": {"serviceAccount": {"create": False}}},
            "gateway: serviceAccount.name must be an account that exists",
        ),
        (
            {"secrets": {"keys.redis_url": {"address": ""}}},
            "secrets.keys.redis_url: the NetworkPolicy blocks the server; set address to the host and port of its URL",
        ),
        ({"secrets": {"survey.database": {"address": "postgresql"}}}, "address"),
        (
            {"gateway": {"progressDeadlineSeconds": 60}},
            "gateway.progressDeadlineSeconds 60 must be greater than the 60 s that gateway.probes.startup allows",
        ),
        ({"gateway": {"topologySpread": [{"topologyKey": "zone"}]}}, "maxSkew"),
    ],
)
def test_contradictory_values_are_rejected(wrong: dict[str, Any], named: str) -> None:
    """The chart rejects contradictory values, and the message names a value to change."""
    _assert_rejected(wrong, named)


@pytest.mark.parametrize("gateway", [{"autoscaling": {"enabled": True}}, {"replicas": 2}])
def test_several_gateways_share_their_surveys(gateway: dict[str, Any]) -> None:
    """Several gateways require PostgreSQL, unless surveys are unshared and without a volume."""
    values = {**everything(), "gateway": gateway, "secrets": {}}
    with pytest.raises(helm.HelmError, match=r"secrets\.survey\.database is required with more than one gateway"):
        render(values)
    with pytest.raises(helm.HelmError, match="several gateways can't share a file"):
        render(values | {"surveys": {"unshared": True, "size": "5Gi"}})
    assert render(values | {"surveys": {"unshared": True}})
