"""Token buckets that the processes of a gateway share."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sarlens.admission.rate_limit import BucketRequest, InMemoryTokenBuckets
from sarlens.admission.shared_buckets import SharedMemoryTokenBuckets


@asynccontextmanager
async def buckets(path: Path, now: list[float]) -> AsyncIterator[SharedMemoryTokenBuckets]:
    """Open the buckets in a file with a clock that the test sets."""
    opened = SharedMemoryTokenBuckets(path, lambda: now[0])
    yield opened
    await opened.close()


async def test_processes_share_a_quota(tmp_path: Path) -> None:
    """Of twelve requests through two processes, a quota of six a minute allows six; after 10 s, it allows one more."""
    now = [100.0]
    request = BucketRequest("key:requests", 6, 1, 1)
    async with buckets(tmp_path / "b", now) as one, buckets(tmp_path / "b", now) as two:
        waits = [await process.consume(request) for process in (one, two) for _ in range(6)]
        assert waits == [0.0] * 6 + [10.0] * 6
        now[0] += 10
        assert [await two.consume(request), await one.consume(request)] == [0.0, 10.0]
        assert await one.consume(BucketRequest("other", 6, 1, 1)) == 0.0


async def test_shared_buckets_count_like_private_ones(tmp_path: Path) -> None:
    """A series of withdrawals, debts and pauses gives the same waits as buckets in the memory of one process."""
    now = [5.0]
    private = InMemoryTokenBuckets(lambda: now[0])
    async with buckets(tmp_path / "b", now) as shared:
        for step in range(300):
            now[0] += step % 7 / 3
            request = BucketRequest(f"key {step % 3}", 20 + step % 5, step % 4, step % 11)
            assert await shared.consume(request) == await private.consume(request)


async def test_the_table_never_fills(tmp_path: Path) -> None:
    """After a bucket for each of 70,000 names, more than the table has slots, the last names keep their levels."""
    now = [0.0]
    async with buckets(tmp_path / "b", now) as shared:
        for number in range(70_000):
            now[0] = number / 1e6
            await shared.consume(BucketRequest(str(number), 1, 1, 1))
        assert [await shared.consume(BucketRequest(str(n), 1, 1, 1)) > 0 for n in range(69_990, 70_000)] == [True] * 10


def _spend(path: Path, granted: multiprocessing.Queue[int]) -> None:
    async def spend() -> int:
        shared = SharedMemoryTokenBuckets(path)
        return sum([await shared.consume(BucketRequest("key", 1000, 1, 1)) == 0.0 for _ in range(600)])

    granted.put(asyncio.run(spend()))


@pytest.mark.slow
def test_concurrent_processes_lose_no_withdrawal(tmp_path: Path) -> None:
    """Three processes that withdraw at the same time get 1,000 tokens of a bucket together, plus its refill."""
    context = multiprocessing.get_context("spawn")
    granted: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_spend, args=(tmp_path / "b", granted)) for _ in range(3)]
    for process in processes:
        process.start()
    total = sum(granted.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert 1000 <= total <= 1200
