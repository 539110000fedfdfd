"""The part of values.schema.json that follows from the gateway's settings; run, it is written anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sarlens.settings import Settings

SCHEMA = Path(__file__).parents[2] / "helm/sarlens/values.schema.json"
PLACED = {
    "host",
    "port",
    "keys.file",
    "keys.open",
    "grpc.port",
    "grpc.cert_file",
    "grpc.key_file",
    "grpc.client_ca_file",
}
"""Settings that follow from where the chart mounts and listens."""


def secret_settings() -> set[str]:
    """Settings that a Secret holds, as ``group.name``."""
    return {
        f"{group}.{name}"
        for group, outer in Settings.model_fields.items()
        for name, field in getattr(outer.annotation, "model_fields", {}).items()
        if SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
    }


def settings_schema() -> dict[str, Any]:
    """What may stand in the values' ``settings:``, group by group."""
    whole = Settings.model_json_schema(mode="validation")
    kept_out = PLACED | secret_settings()
    properties: dict[str, Any] = {}
    for name, field in whole["properties"].items():
        if "$ref" not in field:
            if name not in kept_out:
                properties[name] = _plain(field)
            continue
        group = whole["$defs"][field["$ref"].rpartition("/")[2]]
        inner = {key: _plain(each) for key, each in group["properties"].items() if f"{name}.{key}" not in kept_out}
        if inner:
            properties[name] = _closed(inner)
    return _closed(properties)


def secrets_schema() -> dict[str, Any]:
    """What may stand in the values' ``secrets:``."""
    return _closed({name: {"$ref": "#/$defs/secretKey"} for name in sorted(secret_settings())})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """A field without what only documents it; ``format`` is no assertion to Helm."""
    return {key: value for key, value in field.items() if key not in {"title", "default", "format"}}


def main() -> None:
    """Write the two parts anew."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"] |= {"settings": settings_schema(), "secrets": secrets_schema()}
    SCHEMA.write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    main()
