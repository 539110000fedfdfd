"""Part of values.schema.json that follows from the gateway's settings. Run this module to write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sarlens.settings import Settings

SCHEMA = Path(__file__).parents[2] / "helm/sarlens/values.schema.json"
SET_BY_CHART = {
    "host",
    "port",
    "profiles",
    "keys.file",
    "keys.allow_anonymous",
    "grpc.port",
    "management.host",
    "management.port",
    "grpc.cert_file",
    "grpc.key_file",
    "grpc.client_ca_file",
}
"""Settings that the chart sets itself, such as mount paths and ports."""
SERVERS = {"keys.redis_url", "survey.database"}
"""Secrets that hold the URL of a server, whose address the NetworkPolicy allows."""


def secret_settings() -> set[str]:
    """Return the settings that a Secret holds, as ``group.name``."""
    return {
        f"{group}.{name}"
        for group, outer in Settings.model_fields.items()
        for name, field in getattr(outer.annotation, "model_fields", {}).items()
        if SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
    }


def settings_schema() -> dict[str, Any]:
    """Return the schema of ``settings:`` in the values."""
    whole = Settings.model_json_schema(mode="validation")
    excluded = SET_BY_CHART | secret_settings()
    properties: dict[str, Any] = {}
    for name, field in whole["properties"].items():
        if "$ref" not in field:
            if name not in excluded:
                properties[name] = _plain(field)
            continue
        group = whole["$defs"][field["$ref"].rpartition("/")[2]]
        inner = {key: _plain(schema) for key, schema in group["properties"].items() if f"{name}.{key}" not in excluded}
        if inner:
            properties[name] = _closed(inner)
    return _closed(properties)


def secrets_schema() -> dict[str, Any]:
    """Return the schema of ``secrets:`` in the values."""
    return _closed(
        {
            name: {"$ref": f"#/$defs/{'serverKey' if name in SERVERS else 'secretKey'}"}
            for name in sorted(secret_settings())
        }
    )


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """Return a field without title, default, examples, and ``format``, which Helm doesn't validate."""
    return {key: value for key, value in field.items() if key not in {"title", "default", "examples", "format"}}


def main() -> None:
    """Write both schemas to values.schema.json."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"] |= {"settings": settings_schema(), "secrets": secrets_schema()}
    SCHEMA.write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    main()
