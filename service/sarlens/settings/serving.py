"""Settings of API keys, gRPC, management, admission control, limits, CORS and tracing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from sarlens.admission.api_keys import RestrictedField
from sarlens.settings.types import Bytes, CollectorUrl, Seconds, SettingsGroup, TileUrl


class KeysSettings(SettingsGroup):
    """API keys and their quotas."""

    file: Annotated[
        Path | None,
        Field(description="JSON file of API keys; unset, callers need no key.", examples=["/etc/sarlens/keys.json"]),
    ] = None
    redis_url: Annotated[
        SecretStr | None,
        Field(
            description="URL of the Valkey or Redis server that shares quotas between processes and replicas.",
            examples=["redis://:password@valkey:6379"],
        ),
    ] = None
    allow_anonymous: Annotated[
        bool, Field(description="Serve callers without API keys on addresses other than loopback.")
    ] = False
    label_metrics: Annotated[
        bool,
        Field(description="Label the counters of requests, errors, tokens and rejections with the name of the key."),
    ] = False
    allowed_fields: Annotated[
        tuple[RestrictedField, ...],
        Field(
            description="Restricted fields of chat and completion requests that every caller may send "
            "([restricted fields](../how-to/keys.md#restricted-fields)).",
            examples=["chat_template_kwargs,priority"],
        ),
    ] = ()


class GrpcSettings(SettingsGroup):
    """The gRPC server."""

    port: Annotated[int | None, Field(ge=0, le=65535, description="Port of gRPC; `none` turns it off.")] = 8081
    max_message_bytes: Annotated[
        Bytes,
        Field(
            description="Maximum size of a message, in bytes, if SARLENS_LIMIT__MAX_BODY_BYTES isn't less. To receive "
            "16 MiB pauses the gateway for about 15 ms."
        ),
    ] = 16 * 2**20
    max_concurrent_calls: Annotated[
        int, Field(ge=1, description="Maximum number of concurrent calls, open streams included; further are rejected.")
    ] = 1024
    cert_file: Annotated[
        Path | None,
        Field(description="PEM file of the certificate chain; set, gRPC uses TLS.", examples=["/etc/sarlens/tls.crt"]),
    ] = None
    key_file: Annotated[
        Path | None,
        Field(description="PEM file of the certificate's private key.", examples=["/etc/sarlens/tls.key"]),
    ] = None
    client_ca_file: Annotated[
        Path | None,
        Field(
            description="PEM file of the certificate authorities that must have signed client certificates.",
            examples=["/etc/sarlens/ca.crt"],
        ),
    ] = None

    @model_validator(mode="after")
    def _require_certificate_and_key(self) -> GrpcSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("SARLENS_GRPC__CERT_FILE and SARLENS_GRPC__KEY_FILE must be set together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("SARLENS_GRPC__CLIENT_CA_FILE requires SARLENS_GRPC__CERT_FILE and SARLENS_GRPC__KEY_FILE")
        return self


class ManagementSettings(SettingsGroup):
    """The management port: metrics, health and documentation without API keys, for operators only."""

    host: Annotated[str, Field(description="Address of the management port, which no caller must reach.")] = "127.0.0.1"
    port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="Port of /metrics, health, models and /docs without API keys; unset, REST serves them.",
            examples=["8082"],
        ),
    ] = None


class AdmissionSettings(SettingsGroup):
    """Admission control, of all processes of a host together."""

    max_requests_per_worker: Annotated[
        int, Field(ge=1, description="Maximum number of concurrent requests per ready worker.")
    ] = 256
    max_pixels: Annotated[
        int, Field(ge=1, description="Maximum number of rendered pixels among all concurrent requests.")
    ] = 2**30
    max_body_bytes: Annotated[Bytes, Field(description="Maximum size of all request bodies in memory, in bytes.")] = (
        512 * 2**20
    )
    max_client_body_ratio: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Maximum share of `max_body_bytes` for the bodies of one API key, or of one client address "
            "without keys; it always has space for one body.",
        ),
    ] = 0.5
    max_queued: Annotated[
        int, Field(ge=0, description="Maximum number of queued requests; the gateway rejects further ones.")
    ] = 1024
    queue_timeout_s: Annotated[Seconds, Field(description="Maximum time of a request in the queue, in seconds.")] = 30.0


class LimitSettings(SettingsGroup):
    """Limits of one request, checked before memory is spent on it."""

    max_body_bytes: Annotated[Bytes, Field(description="Maximum size of a request body, in bytes.")] = 64 * 2**20
    max_images: Annotated[int, Field(ge=0, description="Maximum number of images per request.")] = 16
    max_questions: Annotated[
        int, Field(ge=1, le=4096, description="Maximum number of questions per request to /v1/sar/vqa.")
    ] = 64
    max_object_bytes: Annotated[
        Bytes,
        Field(description="Maximum size of an image that must be read whole, such as PNG or a data: URL, in bytes."),
    ] = 64 * 2**20
    max_scene_pixels: Annotated[
        int, Field(ge=1, description="Maximum size of a source image, in pixels: width times height.")
    ] = 2_000_000_000
    max_window_pixels: Annotated[
        int, Field(ge=1, description="Maximum number of pixels that the gateway decodes for one image of a request.")
    ] = 64 * 2**20


class CorsSettings(SettingsGroup):
    """Cross-origin requests of web pages."""

    origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...],
        Field(
            description="Origins of web pages that may call the gateway, such as https://map.example.com; `*` allows "
            "any; empty, none.",
            examples=["https://map.example.com"],
        ),
    ] = ()


class ConsoleSettings(SettingsGroup):
    """The map console."""

    scenes: Annotated[
        dict[str, str],
        Field(
            description="Scenes on the first screen of the console: a question per URL, which can be empty.",
            examples=['{"s3://scenes/port.tif": "How many harbors are in the image?"}'],
        ),
    ] = {}  # noqa: RUF012  pydantic copies defaults
    basemap_url: Annotated[
        TileUrl | None,
        Field(
            description="URL template of the console's basemap in WebMercatorQuad; unset, the map shows graticule and "
            "coastline.",
            examples=["https://tiles.example.com/{z}/{x}/{y}.png"],
        ),
    ] = None
    basemap_attribution: Annotated[str, Field(description="Attribution of the basemap, as plain text.")] = ""


class McpSettings(SettingsGroup):
    """The Model Context Protocol."""

    enabled: Annotated[
        bool, Field(description="Whether the gateway serves tools for agents at /mcp; needs the extra `mcp`.")
    ] = True


class TracingSettings(SettingsGroup):
    """OpenTelemetry traces."""

    endpoint: Annotated[
        CollectorUrl | None,
        Field(
            description="Base URL of the trace collector, OTLP over HTTP, such as http://collector:4318; "
            "unset, tracing is off.",
            examples=["http://collector:4318"],
        ),
    ] = None
    sample_ratio: Annotated[
        float, Field(ge=0, le=1, description="Fraction of the traces begun by the gateway that it records.")
    ] = 0.01
