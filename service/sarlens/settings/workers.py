"""Settings of workers and of routing."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from sarlens.routing.policy import Policy
from sarlens.settings.types import Bytes, ForwardPath, HttpUrl, Seconds, SettingsGroup, WorkerLocation

_MIN_SECRET_LENGTH = 16


def _check_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret) < _MIN_SECRET_LENGTH:
        raise ValueError(f"the secret must have at least {_MIN_SECRET_LENGTH} characters")
    return secret


def _check_api_key(key: SecretStr | None) -> SecretStr | None:
    if key is not None and not key.get_secret_value().isprintable():
        raise ValueError("the key must not contain control characters")
    return key


class WorkerSettings(SettingsGroup):
    """The vLLM workers behind the gateway."""

    urls: Annotated[
        tuple[WorkerLocation, ...],
        Field(
            description="Locations of workers: base URLs, or file:, dns: or kubernetes: locations "
            "([discovery](../explanation/routing.md)).",
            examples=["http://gpu-1:8000,http://gpu-2:8000"],
        ),
    ] = ()
    weights: Annotated[
        dict[HttpUrl, Annotated[float, Field(gt=0, le=1e6)]],
        Field(
            description="Share of the traffic per base URL, relative to 1 for every other worker; for canaries.",
            examples=['{"http://gpu-1:8000": 0.1}'],
        ),
    ] = {}  # noqa: RUF012  pydantic copies defaults
    models: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(
            max_length=1000,
            description="Names of models whose workers may be scaled to zero; a request for one waits for a worker.",
            examples=["sarlang-qwen"],
        ),
    ] = ()
    api_key: Annotated[
        SecretStr | None, AfterValidator(_check_api_key), Field(description="Bearer token that the workers require.")
    ] = None
    image_id_secret: Annotated[
        SecretStr | None,
        AfterValidator(_check_secret),
        Field(
            description="Secret that makes the ids of images in worker caches unguessable, the same for all gateways "
            "of the workers; unset, sarlens/image-id-secret in $XDG_STATE_HOME or ~/.local/state, generated once.",
        ),
    ] = None
    priority_scheduling: Annotated[
        bool,
        Field(
            description="Send the priority of API keys to the workers; requires vLLM's --scheduling-policy priority."
        ),
    ] = False
    probe_interval_s: Annotated[
        Seconds, Field(description="Interval between health checks of a worker, in seconds; also of discovery.")
    ] = 2.0
    health_path: Annotated[
        str, Field(pattern=r"^/\S*$", description="Path of the health check of workers that serve HTTP.")
    ] = "/health"
    probe_timeout_s: Annotated[Seconds, Field(description="Timeout of a health check, in seconds.")] = 2.0
    probe_failure_threshold: Annotated[
        int, Field(ge=1, le=1000, description="Consecutive failed health checks that take a ready worker out.")
    ] = 3
    probe_success_threshold: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Consecutive successful health checks that bring a worker back. A new worker needs one.",
        ),
    ] = 2
    read_metrics: Annotated[
        bool,
        Field(
            description="Read the load of each worker, and the start time of its process, from its /metrics at each "
            "health check; the load also in between if the worker has requests of other gateways."
        ),
    ] = True
    replacement_timeout_s: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="Maximum time that a worker that left its location serves models without another ready worker, "
            "in seconds.",
        ),
    ] = 30.0
    connect_timeout_s: Annotated[Seconds, Field(description="Timeout for connecting to a worker, in seconds.")] = 2.0
    first_token_timeout_s: Annotated[
        Seconds, Field(description="Timeout for the first event of a streamed response, in seconds.")
    ] = 60.0
    response_timeout_s: Annotated[
        Seconds, Field(description="Timeout for a response that isn't streamed, in seconds.")
    ] = 600.0
    stream_idle_timeout_s: Annotated[
        Seconds, Field(description="Timeout between two events of a streamed response, in seconds.")
    ] = 60.0
    keepalive_timeout_s: Annotated[
        Seconds,
        Field(description="Time that an idle connection to a worker stays open, in seconds; vLLM closes it after 5 s."),
    ] = 4.0

    max_response_bytes: Annotated[
        Bytes, Field(description="Maximum size of a worker's response that isn't streamed, in bytes.")
    ] = 16 * 2**20
    max_batch_questions: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Maximum number of questions about one image in one request to a worker; 1 sends each by "
            "itself ([batches](../explanation/routing.md#questions-in-batches)).",
        ),
    ] = 16
    breaker_failure_threshold: Annotated[
        int, Field(ge=1, le=1000, description="Consecutive failures of a worker that open its circuit breaker.")
    ] = 3
    breaker_reset_timeout_s: Annotated[
        Seconds,
        Field(
            description="Time until an open circuit breaker lets one request through to test the worker, in seconds."
        ),
    ] = 5.0
    forward_paths: Annotated[
        tuple[ForwardPath, ...],
        Field(
            max_length=32,
            description="Further worker routes that the gateway serves under the same path, by POST with JSON "
            "([other routes](../how-to/chat-clients.md#other-routes-of-workers)).",
            examples=["/v1/score,/v1/rerank,/pooling"],
        ),
    ] = ()
    max_known_images: Annotated[
        int,
        Field(
            ge=0, le=10_000_000, description="Maximum number of images per worker that the gateway tracks as cached."
        ),
    ] = 2048


class RoutingSettings(SettingsGroup):
    """The choice of the worker that answers a request."""

    policy: Annotated[
        Policy,
        Field(
            description="Routing policy: affinity (prefers the worker that has the image cached), least_load, "
            "round_robin or power_of_two."
        ),
    ] = "affinity"
    load_bound: Annotated[
        float,
        Field(
            ge=1,
            le=100,
            description="Maximum load of a worker, relative to the mean, before affinity routing considers others. "
            "A worker that has the image keeps the request as long as waiting costs less than the image elsewhere.",
        ),
    ] = 1.25
    coalesce_timeout_s: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Maximum wait for the first request about an uncached image to finish, in seconds.",
        ),
    ] = 5.0
    image_first: Annotated[
        bool,
        Field(description="Move the only image of a message before its text, so that the worker reuses its tokens."),
    ] = True
    retry_budget_ratio: Annotated[
        float, Field(ge=0, le=10, description="Number of retries that each request adds to the retry budget.")
    ] = 0.2
    max_retry_budget: Annotated[
        int, Field(ge=0, le=1_000_000, description="Maximum number of retries in the retry budget.")
    ] = 256
    hedge_after_s: Annotated[
        Seconds | None,
        Field(
            description="Time after which the gateway also sends the request to a second worker, in seconds; "
            "unset, never.",
            examples=["1.5"],
        ),
    ] = None
    show_workers: Annotated[
        bool, Field(description="Show the addresses of workers in route receipts, instead of opaque names.")
    ] = False
