"""Rate limits, in one process and on a real Redis server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sarlens.admission.api_keys import ApiKey
from sarlens.admission.rate_limit import (
    BucketRequest,
    InMemoryTokenBuckets,
    RateLimiter,
    TokenBucketStore,
)
from sarlens.admission.redis_buckets import RedisTokenBuckets
from sarlens.errors import QuotaExceeded
from sarlens.observability.metrics import Metrics
from support.valkey import redis_server


def key(name: str = "a", **quota: int) -> ApiKey:
    """Return a key with limits."""
    return ApiKey.model_validate({"name": name, "sha256": name * 64, **quota})


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Start one Redis server for the module."""
    with redis_server() as (url, _):
        yield url


@pytest.fixture(params=["local", "shared"])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], TokenBucketStore]]:
    """Return a factory of token bucket stores that share their buckets, in memory or in Redis."""
    if request.param == "local":
        own = InMemoryTokenBuckets()
        yield lambda: own
        return
    shared = [RedisTokenBuckets(request.getfixturevalue("redis_url"), timeout_s=30) for _ in range(2)]
    await shared[0]._redis.flushall()
    turns = iter(range(1000))
    yield lambda: shared[next(turns) % 2]
    for store in shared:
        await store.close()


async def test_requests_count_over_all_processes(buckets: Callable[[], TokenBucketStore]) -> None:
    """Of six requests per minute, all processes together get six; the next must wait 10 s."""
    for _ in range(6):
        await RateLimiter(buckets()).reserve_requests(key(requests_per_minute=6), 1)
    with pytest.raises(QuotaExceeded) as rejected:
        await RateLimiter(buckets()).reserve_requests(key(requests_per_minute=6), 1)
    assert rejected.value.retry_after in {9, 10}
    assert "allows 6 requests per minute" in rejected.value.message
    await RateLimiter(buckets()).reserve_requests(key("b", requests_per_minute=6), 1)
    await RateLimiter(buckets()).reserve_requests(key(), 1)


async def test_each_question_counts_as_a_request(buckets: Callable[[], TokenBucketStore]) -> None:
    """Fifty questions count fifty requests; a batch above the limit passes once and delays later requests."""
    await RateLimiter(buckets()).reserve_requests(key(requests_per_minute=60), 50)
    with pytest.raises(QuotaExceeded):
        await RateLimiter(buckets()).reserve_requests(key(requests_per_minute=60), 20)
    await RateLimiter(buckets()).reserve_requests(key("b", requests_per_minute=10), 30)
    with pytest.raises(QuotaExceeded) as rejected:
        await RateLimiter(buckets()).reserve_requests(key("b", requests_per_minute=10), 1)
    assert 120 <= (rejected.value.retry_after or 0) <= 130


async def test_tokens_count_after_the_answer(buckets: Callable[[], TokenBucketStore]) -> None:
    """An answer can exceed the remaining tokens; then the key must wait until the bucket is above zero."""
    spender = key(tokens_per_minute=600)
    await RateLimiter(buckets()).reserve_requests(spender, 1)
    await RateLimiter(buckets()).record_tokens(spender, 1200)
    with pytest.raises(QuotaExceeded) as rejected:
        await RateLimiter(buckets()).reserve_requests(spender, 1)
    assert rejected.value.retry_after in {60, 61}


async def test_concurrent_withdrawals_never_exceed_the_bucket(buckets: Callable[[], TokenBucketStore]) -> None:
    """Of a hundred concurrent withdrawals from a bucket of ten, ten succeed."""
    waits = await asyncio.gather(*(buckets().consume(BucketRequest("rush", 10, 1, 1)) for _ in range(100)))
    assert sum(wait == 0 for wait in waits) == 10


async def test_buckets_refill_with_time() -> None:
    """A bucket refills in a minute, up to its capacity."""
    now = 0.0
    local = InMemoryTokenBuckets(lambda: now)
    assert await local.consume(BucketRequest("x", 60, 60, 60)) == 0
    assert await local.consume(BucketRequest("x", 60, 1, 1)) == pytest.approx(1.0)
    now = 1.0
    assert await local.consume(BucketRequest("x", 60, 1, 1)) == 0
    now = 1000.0
    assert await local.consume(BucketRequest("x", 60, 61, 61)) > 0


async def test_without_the_server_limits_hold_per_process() -> None:
    """While the Redis server is down, a gauge is 0 and limits hold per process; afterwards they are shared again."""
    metrics = Metrics()
    up = [metrics.registry.get_sample_value("sarlens_shared_quota_up")]
    with redis_server() as (url, process):
        shared = RedisTokenBuckets(url, metrics)
        assert await shared.consume(BucketRequest("x", 2, 1, 1)) == 0
        process.kill()
        process.wait()
        waits = [await shared.consume(BucketRequest("x", 2, 1, 1)) for _ in range(3)]
        assert [wait == 0 for wait in waits] == [True, True, False]
        up.append(metrics.registry.get_sample_value("sarlens_shared_quota_up"))
        port = int(url.rsplit(":", 1)[1].split("/")[0])
    with redis_server(port):
        async with asyncio.timeout(10):
            while await shared.consume(BucketRequest("x", 2, 1, 1)):
                await asyncio.sleep(0.1)
    up.append(metrics.registry.get_sample_value("sarlens_shared_quota_up"))
    assert up == [1, 0, 1]
    await shared.close()
