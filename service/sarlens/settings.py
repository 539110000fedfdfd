"""Every setting of the gateway: one class, one prefix, read once at start.

A nested setting is written with two underscores: ``SARLENS_S3__ENDPOINT``. Lists and maps are JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sarlens.routing.policy import Policy
from sarlens.workers.discovery import base_url, finder

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=0)]


def _workers(place: str) -> str:
    finder(place)
    return place


def _collector(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a collector has a base URL such as http://collector:4318")
    return base_url(url).removesuffix("/v1/traces")


HttpUrl = Annotated[str, AfterValidator(base_url)]
Workers = Annotated[str, AfterValidator(_workers)]
Collector = Annotated[str, AfterValidator(_collector)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerSettings(_Group):
    """The vLLM workers behind the gateway."""

    urls: Annotated[
        tuple[Workers, ...],
        Field(description="Workers: base URLs, or file:, dns: or kubernetes: places ([discovery](routing.md))."),
    ] = ()
    shares: Annotated[
        dict[HttpUrl, Annotated[float, Field(gt=0, le=1e6)]],
        Field(description="Part of the traffic by base URL, relative to the others' 1; for canaries."),
    ] = {}
    api_key: Annotated[SecretStr | None, Field(description="Bearer key that the workers ask for.")] = None
    chat_templates: Annotated[
        dict[str, Path], Field(description="File of each model's Jinja chat template, for workers that are Triton's.")
    ] = {}
    probe_s: Annotated[
        Seconds, Field(description="Time between two looks for workers, and at the health and models of each.")
    ] = 2.0
    connect_s: Annotated[Seconds, Field(description="Longest wait for a connection to a worker.")] = 2.0
    first_token_s: Annotated[Seconds, Field(description="Longest wait for a stream to begin.")] = 60.0
    answer_s: Annotated[Seconds, Field(description="Longest wait for an answer in one piece.")] = 600.0
    idle_s: Annotated[Seconds, Field(description="Longest silence of a worker in the middle of a stream.")] = 60.0
    keepalive_s: Annotated[
        Seconds, Field(description="How long an idle connection is kept; shorter than the worker's own 5 s.")
    ] = 4.0

    breaker_failures: Annotated[
        int, Field(ge=1, le=1000, description="Failures in a row after which other workers are asked first.")
    ] = 3
    breaker_s: Annotated[Seconds, Field(description="Time until such a worker is tried again, by one request.")] = 5.0
    pictures: Annotated[
        int, Field(ge=0, le=10_000_000, description="Pictures that a worker is believed to keep in its cache.")
    ] = 2048


class RoutingSettings(_Group):
    """Which worker answers a request."""

    policy: Annotated[
        Policy,
        Field(description="affinity (to the worker that has the image), least_load, round_robin or power_of_two."),
    ] = "affinity"
    bound: Annotated[
        float, Field(ge=1, le=100, description="Most load of a worker, in times the mean, before affinity gives way.")
    ] = 1.25
    lead_s: Annotated[
        float,
        Field(ge=0, le=3600, description="Longest wait for the first question about an image that no worker has."),
    ] = 5.0
    image_first: Annotated[
        bool, Field(description="Put the only image of a message before its text, so that its tokens are reused.")
    ] = True
    retry_share: Annotated[
        float, Field(ge=0, le=10, description="Retries that each request adds to what may be spent on them.")
    ] = 0.2
    retry_reserve: Annotated[int, Field(ge=0, le=1_000_000, description="Most retries saved up.")] = 256
    hedge_s: Annotated[
        Seconds | None, Field(description="Wait after which a second worker is asked the same; left out, never.")
    ] = None


class KeysSettings(_Group):
    """Who may ask."""

    file: Annotated[Path | None, Field(description="JSON file of API keys; left out, callers need none.")] = None
    redis_url: Annotated[
        SecretStr | None, Field(description="Valkey or Redis that holds quotas for all processes and replicas.")
    ] = None
    open: Annotated[
        bool, Field(description="Serve everybody without keys also on addresses that others can reach.")
    ] = False


class GrpcSettings(_Group):
    """The port of gRPC."""

    port: Annotated[int | None, Field(ge=0, le=65535, description="Port of gRPC; `none` turns it off.")] = 8081
    cert_file: Annotated[Path | None, Field(description="PEM file of the certificate chain; with it, TLS.")] = None
    key_file: Annotated[Path | None, Field(description="PEM file of the certificate's private key.")] = None
    client_ca_file: Annotated[
        Path | None, Field(description="PEM file of the authorities that callers' certificates must be signed by.")
    ] = None

    @model_validator(mode="after")
    def _key_beside_certificate(self) -> GrpcSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file have to be given together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("client_ca_file needs cert_file and key_file")
        return self


class AdmissionSettings(_Group):
    """How much is taken on at the same time, by each process."""

    requests: Annotated[int, Field(ge=1, description="Most requests at work, for each worker that is ready.")] = 256
    pixels: Annotated[int, Field(ge=1, description="Most pixels of pictures among the requests at work.")] = 2**30
    body_bytes: Annotated[Bytes, Field(description="Most bytes of request bodies in memory.")] = 512 * 2**20
    queue: Annotated[int, Field(ge=0, description="Most requests that wait; more are refused at once.")] = 1024
    queue_s: Annotated[Seconds, Field(description="Longest wait.")] = 30.0


class LimitSettings(_Group):
    """What is refused before memory is spent on it."""

    body_bytes: Annotated[Bytes, Field(description="Largest request body.")] = 64 * 2**20
    images: Annotated[int, Field(ge=0, description="Most images in one request.")] = 16
    questions: Annotated[int, Field(ge=1, description="Most questions in one request to /v1/sar/vqa.")] = 64
    object_bytes: Annotated[Bytes, Field(description="Largest image that has to be read whole.")] = 64 * 2**20
    scene_pixels: Annotated[int, Field(ge=1, description="Most pixels that an image may declare.")] = 2_000_000_000
    window_pixels: Annotated[int, Field(ge=1, description="Most pixels that one request may have decoded.")] = (
        64 * 2**20
    )


class RenderSettings(_Group):
    """How measurements become pictures."""

    size: Annotated[int, Field(ge=16, le=4096, description="Longest side of a picture, where no model says.")] = 448
    sizes: Annotated[dict[str, int], Field(description="Longest side by model name: the size that the model sees.")] = {
        "sarlens-nano": 256
    }
    threads: Annotated[
        int, Field(ge=0, le=256, description="Images decoded and rendered at the same time; 0: one a core.")
    ] = 0


class S3Settings(_Group):
    """Where ``s3://`` leads. Credentials come from the AWS chain: environment, profile, IRSA, instance role."""

    endpoint: Annotated[HttpUrl | None, Field(description="Endpoint of an S3 server other than AWS.")] = None
    region: Annotated[str | None, Field(description="Region; left out, the chain's.")] = None
    profile: Annotated[str | None, Field(description="Profile of the AWS configuration files.")] = None
    anonymous: Annotated[bool, Field(description="Sign nothing, as the open SAR archives like it.")] = False
    buckets: Annotated[tuple[str, ...], Field(description="Buckets that may be read; none named: any.")] = ()
    timeout_s: Annotated[Seconds, Field(description="Longest wait for one answer of the store.")] = 20.0
    fresh_s: Annotated[float, Field(ge=0, description="How long an object's version is trusted without asking.")] = 1.0


class HttpsSettings(_Group):
    """Which ``https:`` images are fetched."""

    hosts: Annotated[
        tuple[str, ...], Field(description="Hosts allowed, such as example.com or *.example.com; none: https is off.")
    ] = ()
    timeout_s: Annotated[Seconds, Field(description="Longest time for one image.")] = 20.0


class CacheSettings(_Group):
    """Memory spent on not doing things twice."""

    picture_bytes: Annotated[Bytes, Field(description="Rendered pictures kept.")] = 256 * 2**20
    range_bytes: Annotated[Bytes, Field(description="Byte ranges of source images kept.")] = 256 * 2**20


class SurveySettings(_Group):
    """Surveys and other jobs, which outlive the request that asked for them."""

    database: Annotated[
        SecretStr | None,
        Field(
            description="Where jobs are kept: sqlite:///path or postgresql://user:password@host/name; left out, "
            "sarlens/jobs.db in the user's folder for state."
        ),
    ] = None
    tiles: Annotated[int, Field(ge=1, le=10_000_000, description="Most tiles of one survey.")] = 20_000
    at_once: Annotated[
        int, Field(ge=1, le=10_000, description="Tiles of one survey that workers are asked about at the same time.")
    ] = 64
    jobs: Annotated[int, Field(ge=1, le=1000, description="Jobs that one process works on at the same time.")] = 4
    patience_s: Annotated[
        Seconds, Field(description="How long a tile is asked again while workers or the store fail.")
    ] = 600.0
    keep_s: Annotated[
        float, Field(gt=0, le=1e9, description="How long a job and its answers are kept after its end.")
    ] = 604_800.0
    outputs: Annotated[
        tuple[Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")], ...],
        Field(description="Places below which results may be written, such as s3://results/surveys; none: nowhere."),
    ] = ()

    @property
    def database_url(self) -> str:
        """Where jobs are kept, also where nobody said."""
        if self.database is not None:
            return self.database.get_secret_value()
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        return f"sqlite:///{Path(state, 'sarlens', 'jobs.db')}"


class TracingSettings(_Group):
    """OpenTelemetry traces."""

    endpoint: Annotated[
        Collector | None,
        Field(
            description="Collector of traces, the base URL of OTLP over HTTP such as http://collector:4318; "
            "left out, tracing is off."
        ),
    ] = None
    share: Annotated[float, Field(ge=0, le=1, description="Part of the traces that begin here that is recorded.")] = (
        0.01
    )


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="SARLENS_",
        env_nested_delimiter="__",
        env_parse_none_str="none",
        frozen=True,
        extra="ignore",
        env_file=".env",
    )

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port of REST and /metrics.")] = 8080
    public_url: Annotated[
        HttpUrl | None, Field(description="Address that callers reach the gateway by; links begin with it.")
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severe message logged.")
    ] = "info"
    access_log: Annotated[
        float | None,
        Field(ge=0, le=1, description="Part of the requests that are logged, beside all that fail; left out, none."),
    ] = None
    drain_s: Annotated[Seconds, Field(description="Time that open requests have to finish after SIGTERM.")] = 30.0
    worker: WorkerSettings = WorkerSettings()
    routing: RoutingSettings = RoutingSettings()
    keys: KeysSettings = KeysSettings()
    grpc: GrpcSettings = GrpcSettings()
    admission: AdmissionSettings = AdmissionSettings()
    limit: LimitSettings = LimitSettings()
    render: RenderSettings = RenderSettings()
    s3: S3Settings = S3Settings()
    https: HttpsSettings = HttpsSettings()
    cache: CacheSettings = CacheSettings()
    survey: SurveySettings = SurveySettings()
    tracing: TracingSettings = TracingSettings()


def describe(model: type[BaseModel] = Settings, prefix: str = "SARLENS_") -> Iterator[tuple[str, str, str]]:
    """Every setting as the name of its variable, its default and what it means."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Group):
            yield from describe(field.annotation, variable + "__")
        else:
            default = "" if field.default is None else json.dumps(field.default)
            yield variable, default, field.description or ""
