"""Objects that Helm renders from values, and their validation against schemas."""

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
    """Merge values as Helm does; ``more`` takes precedence."""
    if not (isinstance(values, dict) and isinstance(more, dict)):
        return more
    return values | {key: merged(values.get(key), value) for key, value in more.items()}


def everything() -> dict[str, Any]:
    """Return values that enable every feature."""
    worker: dict[str, Any] = {"name": "qwen", "model": "/models/qwen", "modelClaim": "models", "cache": {"size": "9Gi"}}
    worker |= {"autoscaling": {"enabled": True, "prometheus": "http://prometheus:9090"}}
    worker |= {"gpu": {"count": 2, "product": "NVIDIA-H100-80GB-HBM3"}, "tensorParallelSize": 2}
    worker |= {"loraAdapters": [{"name": "ships", "path": "/models/ships"}, {"name": "ice", "path": "/models/ice"}]}
    worker |= {"extraArgs": ["--max-model-len", "8192", "--otlp-traces-endpoint", "http://otel:4317"]}
    worker |= {"envFrom": [{"secretRef": {"name": "store"}}], "serviceAccount": {"annotations": {"role": "models"}}}
    enabled = {"enabled": True}
    return {
        "keys": {"secretName": "keys"},
        "secrets": {
            "keys.redis_url": {"secretName": "valkey", "key": "url", "address": "valkey.data.svc:6379"},
            "survey.database": {"secretName": "postgresql", "key": "url", "address": "10.0.0.7:5432"},
            "worker.api_key": {"secretName": "worker", "key": "key"},
        },
        "profiles": '[profiles.ships]\nextends = "sarlang"\n',
        "settings": {"s3": {"endpoint": "http://s3:8333"}, "worker": {"weights": {"http://old:8000": 0.5}}},
        "workers": [worker],
        "gateway": {"autoscaling": enabled, "serviceAccount": {"annotations": {"role": "scenes"}}},
        "monitoring": {"serviceMonitor": enabled, "rules": enabled, "dashboards": enabled},
        "ingress": {"enabled": True, "hosts": ["sar.example.com"], "tlsSecretName": "tls"},
        "gatewayApi": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "hostnames": ["sar.example.com"],
            "grpcHostnames": ["rpc.example.com"],
        },
    }


def values_of(profile: str) -> dict[str, Any]:
    """Return the values of a profile."""
    if profile == EVERYTHING:
        return everything()
    values: dict[str, Any] = yaml.safe_load((CHART / profile).read_text())
    return values


def render(values: dict[str, Any], chart_path: Path = CHART) -> list[Object]:
    """Render the objects of values with Helm."""
    with helm.Chart.load(str(chart_path)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="demo", namespace="sar")
    documents = [text for path, text in texts.items() if path.endswith(".yaml")]
    return [item for text in documents for item in yaml.load_all(text, yaml.CSafeLoader) if item]


@cache
def rendered(profile: str) -> list[Object]:
    """Return the rendered objects of a profile."""
    return render(values_of(profile))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Return the objects of the given kinds."""
    return [item for item in objects if item["kind"] in kinds]


def pods(objects: list[Object]) -> list[Object]:
    """Return the pod templates and the pod of the test hook."""
    templates = [item["spec"]["template"] for item in of_kind(objects, "Deployment", "StatefulSet")]
    return templates + of_kind(objects, "Pod")


def container(objects: list[Object], kind: str) -> Object:
    """Return the container of the only Deployment or StatefulSet."""
    (item,) = of_kind(objects, kind)
    (only,) = item["spec"]["template"]["spec"]["containers"]
    return dict(only)


def validate(item: Object) -> None:
    """Validate an object strictly against the schema of Kubernetes or the one in crds.yaml."""
    schema = _custom().get(item["kind"])
    if schema is None:
        kubernetes_validate.validate(item, "1.33", strict=True)
    else:
        jsonschema.validate(item, schema)


@cache
def _custom() -> dict[str, Object]:
    schemas = yaml.safe_load_all(Path(__file__).with_name("crds.yaml").read_text())
    return {schema["properties"]["kind"]["const"]: _closed(schema) for schema in schemas}


def _closed(schema: Any) -> Any:
    """Return a schema that rejects unknown fields."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"type": "object", "additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return closed | {key: _closed(value) for key, value in schema.items()}
