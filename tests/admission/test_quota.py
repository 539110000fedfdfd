"""Quotas, in process and on a real Redis server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sarlens.admission.keys import Key
from sarlens.admission.quota import Buckets, Draw, LocalBuckets, Quotas, SharedBuckets
from sarlens.errors import QuotaExceeded
from stack.valkey import redis_server


def key(name: str = "a", **quota: int) -> Key:
    """A key with quotas."""
    return Key.model_validate({"name": name, "sha256": name * 64, **quota})


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A server for all."""
    with redis_server() as (url, _):
        yield url


@pytest.fixture(params=["local", "shared"])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Buckets]]:
    """What each process of a gateway has: the same buckets, by one means or the other."""
    if request.param == "local":
        own = LocalBuckets()
        yield lambda: own
        return
    shared = [SharedBuckets(request.getfixturevalue("redis_url")) for _ in range(2)]
    await shared[0]._redis.flushall()
    turns = iter(range(1000))
    yield lambda: shared[next(turns) % 2]
    for each in shared:
        await each.close()


async def test_requests_are_counted_over_all_processes(buckets: Callable[[], Buckets]) -> None:
    """Six requests a minute are six, whichever process asks; then it is said when there is one more, in seconds."""
    for _ in range(6):
        await Quotas(buckets()).take(key(requests_per_minute=6), 1)
    with pytest.raises(QuotaExceeded) as refused:
        await Quotas(buckets()).take(key(requests_per_minute=6), 1)
    assert refused.value.retry_after in {9, 10}
    await Quotas(buckets()).take(key("b", requests_per_minute=6), 1)
    await Quotas(buckets()).take(key(), 1)


async def test_many_questions_are_many_requests(buckets: Callable[[], Buckets]) -> None:
    """A request with ten questions counts ten; one with more than a minute holds is paid off over several."""
    await Quotas(buckets()).take(key(requests_per_minute=60), 50)
    with pytest.raises(QuotaExceeded):
        await Quotas(buckets()).take(key(requests_per_minute=60), 20)
    await Quotas(buckets()).take(key("b", requests_per_minute=10), 30)
    with pytest.raises(QuotaExceeded) as refused:
        await Quotas(buckets()).take(key("b", requests_per_minute=10), 1)
    assert 120 <= (refused.value.retry_after or 0) <= 130


async def test_tokens_are_charged_afterwards(buckets: Callable[[], Buckets]) -> None:
    """An answer may cost more than is left; then nothing is asked until the debt is paid."""
    spender = key(tokens_per_minute=600)
    await Quotas(buckets()).take(spender, 1)
    await Quotas(buckets()).charge(spender, 1200)
    with pytest.raises(QuotaExceeded) as refused:
        await Quotas(buckets()).take(spender, 1)
    assert refused.value.retry_after in {60, 61}


async def test_no_more_is_given_out_than_there_is(buckets: Callable[[], Buckets]) -> None:
    """A hundred at the same time for a bucket of ten: ten get something."""
    waits = await asyncio.gather(*(buckets().draw(Draw("rush", 10, 1, 1)) for _ in range(100)))
    assert sum(wait == 0 for wait in waits) == 10


async def test_buckets_fill_with_time() -> None:
    """A minute fills a bucket, and never beyond its size."""
    now = 0.0
    local = LocalBuckets(lambda: now)
    assert await local.draw(Draw("x", 60, 60, 60)) == 0
    assert await local.draw(Draw("x", 60, 1, 1)) == pytest.approx(1.0)
    now = 1.0
    assert await local.draw(Draw("x", 60, 1, 1)) == 0
    now = 1000.0
    assert await local.draw(Draw("x", 60, 61, 61)) > 0


async def test_without_the_server_each_process_counts_for_itself() -> None:
    """When the shared buckets are away, quotas hold within each process, and they are shared again afterwards."""
    with redis_server() as (url, process):
        shared = SharedBuckets(url)
        assert await shared.draw(Draw("x", 2, 1, 1)) == 0
        process.kill()
        process.wait()
        waits = [await shared.draw(Draw("x", 2, 1, 1)) for _ in range(3)]
        assert [wait == 0 for wait in waits] == [True, True, False]
        port = int(url.rsplit(":", 1)[1].split("/")[0])
    with redis_server(port):
        async with asyncio.timeout(10):
            while await shared.draw(Draw("x", 2, 1, 1)):
                await asyncio.sleep(0.1)
    await shared.close()
