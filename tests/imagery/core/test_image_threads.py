"""Threads of images: shares of buckets, CPU slots, large images, and callers that leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError

import pytest

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.core.image_task import LARGE_BYTES, check_task, fetch_blocking, queue_seconds, reserve_memory
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import InMemoryObject

IN_MEMORY = InMemoryObject("data:", "", b"")


@dataclass
class HangingObject:
    """An object whose reads wait until ``answers`` is set, and which counts them."""

    name: str = "s3://slow/port.tif"
    version: str = ""
    size: int = 1
    bytes_fetched: int = 0
    fetch_seconds: float = 0.0
    started: int = 0
    aborted: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def read(self, start: int, length: int) -> bytes:
        """Return one byte."""
        return fetch_blocking(self._get(), self.loop)

    def read_all(self) -> bytes:
        """Return two bytes of two fetches."""
        return self.read(0, 1) + self.read(1, 1)

    async def _get(self) -> bytes:
        self.started += 1
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        return b"x"


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def hanging_reads(
    threads: ImageThreads, slow: HangingObject, count: int
) -> AsyncIterator[list[asyncio.Task[bytes]]]:
    """Let ``count`` callers read a slow object at once; they leave at the end."""
    callers = [asyncio.create_task(threads.run(slow, slow.read_all)) for _ in range(count)]
    yield callers
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def test_a_slow_bucket_holds_only_its_share(threads: ImageThreads) -> None:
    """Of 20 images in a bucket that doesn't answer, 2 read; images of another bucket and in memory are rendered."""
    slow, healthy = HangingObject(), HangingObject("s3://fast/port.tif")
    healthy.answers.set()
    async with hanging_reads(threads, slow, 20), asyncio.timeout(10):
        await until(lambda: slow.started == 2)
        for _ in range(5):
            assert await threads.run(healthy, healthy.read_all) == b"xx"
            assert await threads.run(IN_MEMORY, IN_MEMORY.read, 0, 1) == b""
        assert (slow.started, slow.aborted, healthy.started) == (2, 0, 10)


async def test_many_slow_buckets_leave_images_in_memory_alone(threads: ImageThreads) -> None:
    """Eight slow buckets fill all eight reads; an image in memory is still decoded, and a ninth bucket waits."""
    slow = [HangingObject(f"s3://slow-{number}/port.tif") for number in range(9)]
    callers = [asyncio.create_task(threads.run(reader, reader.read_all)) for reader in slow]
    async with asyncio.timeout(10):
        await until(lambda: sum(reader.started for reader in slow) == 8)
        assert await threads.run_in_memory(lambda: 7) == 7
        assert sum(reader.started for reader in slow) == 8
        slow[0].answers.set()
        assert await callers[0] == b"xx"
        await until(lambda: slow[8].started == 1)
    for caller in callers:
        caller.cancel()


async def test_a_caller_who_leaves_frees_the_thread(threads: ImageThreads) -> None:
    """Canceled callers abort the 2 fetches in flight, no queued read starts, and the next image of the bucket reads."""
    slow = HangingObject()
    async with hanging_reads(threads, slow, 20):
        await until(lambda: slow.started == 2)
    await until(lambda: slow.aborted == 2)
    slow.answers.set()
    async with asyncio.timeout(10):
        assert await threads.run(slow, slow.read_all) == b"xx"
    assert slow.started == 4


async def test_a_slot_is_free_when_its_thread_is() -> None:
    """A canceled caller's decoder keeps its slot until it ends, and then stops at its next check."""
    threads = ImageThreads(max_decodes=1, max_reads=1, max_reads_per_bucket=1)
    running, ends = threading.Event(), threading.Event()
    checked: list[str] = []

    def decode() -> None:
        running.set()
        ends.wait(10)
        check_task()
        checked.append("not canceled")

    first = asyncio.create_task(threads.run_in_memory(decode))
    await until(running.is_set)
    first.cancel()
    second = asyncio.create_task(threads.run_in_memory(lambda: 2))
    await asyncio.wait({second}, timeout=0.05)
    assert not second.done()
    ends.set()
    assert await asyncio.wait_for(second, 10) == 2
    assert checked == []
    threads.close()


async def test_as_many_images_decode_as_there_are_slots() -> None:
    """With 2 CPU slots and 8 reads, 2 images use the CPU at once and never 3; the others count their wait."""
    threads = ImageThreads(max_decodes=2, max_reads=8, max_reads_per_bucket=8)
    two, three = Barrier(2), Barrier(3)
    healthy = HangingObject()
    healthy.answers.set()

    def decode() -> tuple[bool, float]:
        healthy.read(0, 1)
        two.wait(10)
        try:
            three.wait(0.05)
        except BrokenBarrierError:
            return False, queue_seconds()
        return True, queue_seconds()

    results = await asyncio.wait_for(asyncio.gather(*(threads.run(healthy, decode) for _ in range(6))), 10)
    assert [met for met, _ in results] == [False] * 6
    assert max(waited for _, waited in results) > 0
    threads.close()


async def test_few_large_images_are_in_memory() -> None:
    """With one CPU slot, 2 of 5 large images read while all wait for their store, and a small image isn't delayed."""
    threads = ImageThreads(max_decodes=1, max_reads=8, max_reads_per_bucket=8)
    slow = HangingObject()

    def decode_large() -> bytes:
        reserve_memory(LARGE_BYTES + 1)
        reserve_memory(LARGE_BYTES + 1)
        return slow.read_all()

    callers = [asyncio.create_task(threads.run(slow, decode_large)) for _ in range(5)]
    async with asyncio.timeout(10):
        await until(lambda: slow.started == 2)
        await threads.run_in_memory(reserve_memory, LARGE_BYTES)
        assert slow.started == 2
        slow.answers.set()
        assert await asyncio.gather(*callers) == [b"xx"] * 5
    threads.close()


async def test_cpu_time_is_limited() -> None:
    """A decoder that uses more CPU time than the limit ends at its next check; a wait for a store doesn't count."""
    threads = ImageThreads(max_decodes=1, max_reads=1, max_reads_per_bucket=1, max_decode_cpu_s=0.02)

    def spin() -> None:
        while True:
            check_task()

    with pytest.raises(PayloadTooLarge, match=r"more than 0\.02 s of CPU time"):
        await asyncio.wait_for(threads.run_in_memory(spin), 10)
    slow = HangingObject()
    asyncio.get_running_loop().call_later(0.1, slow.answers.set)

    def read_and_check() -> bytes:
        data = slow.read_all()
        check_task()
        return data

    assert await asyncio.wait_for(threads.run(slow, read_and_check), 10) == b"xx"
    threads.close()


async def test_close_ends_reads_that_hang() -> None:
    """After the threads are closed, none of them is left, although a store never answered."""
    threads = ImageThreads(max_decodes=1, max_reads=2, max_reads_per_bucket=2)
    slow = HangingObject()
    before = set(threading.enumerate())
    async with hanging_reads(threads, slow, 2):
        await until(lambda: slow.started == 2)
        own = set(threading.enumerate()) - before
        assert len(own) == 2
        threads.close()
        await until(lambda: not any(thread.is_alive() for thread in own))
    assert slow.aborted == 2
