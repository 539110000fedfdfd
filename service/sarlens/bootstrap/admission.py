"""Construction of what admits requests: API keys, rate limits and limits of concurrency and memory."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from sarlens.admission.api_keys import ApiKeyFile, ApiKeyFileError
from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.admission.concurrency import ConcurrencyLimiter
from sarlens.admission.rate_limit import InMemoryTokenBuckets, RateLimiter, TokenBucketStore
from sarlens.admission.shared_buckets import SharedMemoryTokenBuckets
from sarlens.api.common.auth import Authorizer
from sarlens.bootstrap.tasks import run_until_exit
from sarlens.errors import StartupError
from sarlens.observability.metrics import Metrics
from sarlens.settings import Settings
from sarlens.workers.pool import WorkerPool


async def open_authorizer(
    settings: Settings, metrics: Metrics, shared_folder: Path | None, stack: AsyncExitStack
) -> Authorizer:
    """Open the API keys and their rate limits.

    Raises:
        StartupError: the file with the keys can't be read.
    """
    buckets = _open_buckets(settings, metrics, shared_folder, stack)
    if settings.keys.file is None:
        return Authorizer(None, RateLimiter(buckets), settings.keys.allowed_fields)
    try:
        keys = ApiKeyFile(settings.keys.file, metrics)
    except ApiKeyFileError as error:
        raise StartupError(f"SARLENS_KEYS__FILE: {error}") from None
    run_until_exit(stack, keys.watch_forever())
    return Authorizer(keys, RateLimiter(buckets), settings.keys.allowed_fields)


def _open_buckets(
    settings: Settings, metrics: Metrics, shared_folder: Path | None, stack: AsyncExitStack
) -> TokenBucketStore:
    if settings.keys.redis_url is not None:
        from sarlens.admission.redis_buckets import RedisTokenBuckets

        redis_buckets = RedisTokenBuckets(settings.keys.redis_url.get_secret_value(), metrics)
        stack.push_async_callback(redis_buckets.close)
        return redis_buckets
    if shared_folder is not None:
        shared_buckets = SharedMemoryTokenBuckets(shared_folder / "token_buckets")
        stack.push_async_callback(shared_buckets.close)
        return shared_buckets
    return InMemoryTokenBuckets()


def make_concurrency_limiter(settings: Settings, pool: WorkerPool, metrics: Metrics) -> ConcurrencyLimiter:
    """Return the limit of concurrent requests, which follows the number of ready workers."""
    admission = settings.admission
    return ConcurrencyLimiter(
        max_concurrency=lambda: admission.max_requests_per_worker * pool.ready_workers,
        max_pixels=admission.max_pixels,
        max_queued=admission.max_queued,
        queue_timeout_s=admission.queue_timeout_s,
        metrics=metrics,
    )


def make_body_memory(settings: Settings, metrics: Metrics) -> BodyMemoryBudget:
    """Return the memory for request bodies, of which each client gets a share."""
    max_bytes = settings.admission.max_body_bytes
    share = int(max_bytes * settings.admission.max_client_body_ratio)
    return BodyMemoryBudget(max_bytes, max(share, settings.limit.max_body_bytes), metrics)
