"""What Helm makes of values, and how it is held to schemas."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import yaml

CHART = Path(__file__).parents[2] / "helm" / "sarlens"
PROFILES = sorted(path.name for path in CHART.glob("values-*.yaml"))
EVERYTHING = "everything"

Object = dict[str, Any]


def merged(values: Any, more: Any) -> Any:
    """Values with others laid over them, as Helm does."""
    if not (isinstance(values, dict) and isinstance(more, dict)):
        return more
    return values | {key: merged(values.get(key), value) for key, value in more.items()}


def everything() -> dict[str, Any]:
    """Values that turn all on."""
    worker: dict[str, Any] = {"name": "qwen", "model": "/models/qwen", "modelClaim": "models", "cache": {"size": "9Gi"}}
    worker |= {"autoscaling": {"enabled": True, "prometheus": "http://prometheus:9090"}}
    worker |= {"gpu": {"count": 2, "product": "NVIDIA-H100-80GB-HBM3"}, "tensorParallelSize": 2}
    worker |= {"loraAdapters": [{"name": "ships", "path": "/models/ships"}, {"name": "ice", "path": "/models/ice"}]}
    worker |= {"extraArgs": ["--max-model-len", "8192", "--otlp-traces-endpoint", "http://otel:4317"]}
    worker |= {"envFrom": [{"secretRef": {"name": "store"}}], "serviceAccount": {"annotations": {"role": "models"}}}
    on = {"enabled": True}
    return {
        "keys": {"secretName": "keys"},
        "secrets": {
            "keys.redis_url": {"secretName": "valkey", "key": "url"},
            "survey.database": {"secretName": "postgresql", "key": "url"},
            "worker.api_key": {"secretName": "worker", "key": "key"},
        },
        "settings": {"s3": {"endpoint": "http://s3:8333"}, "worker": {"shares": {"http://old:8000": 0.5}}},
        "workers": [worker],
        "gateway": {"autoscaling": on, "serviceAccount": {"annotations": {"role": "scenes"}}},
        "monitoring": {"serviceMonitor": on, "rules": on, "dashboards": on},
        "ingress": {"enabled": True, "host": "sar.example.com", "tlsSecretName": "tls"},
        "gatewayApi": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "hostnames": ["sar.example.com"],
            "grpcHostnames": ["rpc.example.com"],
        },
    }


def values_of(profile: str) -> dict[str, Any]:
    """The values of a profile."""
    if profile == EVERYTHING:
        return everything()
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


def container(objects: list[Object], kind: str) -> Object:
    """The container of the one Deployment or StatefulSet."""
    (only,) = of_kind(objects, kind)
    (found,) = only["spec"]["template"]["spec"]["containers"]
    return dict(found)


def validate(thing: Object) -> None:
    """Hold an object to its schema, strictly: Kubernetes' own, or the one in crds.yaml."""
    schema = _custom().get(thing["kind"])
    if schema is None:
        kubernetes_validate.validate(thing, "1.33", strict=True)
    else:
        jsonschema.validate(thing, schema)


@cache
def _custom() -> dict[str, Object]:
    schemas = yaml.safe_load_all(Path(__file__).with_name("crds.yaml").read_text())
    return {each["properties"]["kind"]["const"]: _closed(each) for each in schemas}


def _closed(schema: Any) -> Any:
    """A schema whose objects have no fields but those named."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {"type": "object", "additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return shut | {key: _closed(value) for key, value in schema.items()}
