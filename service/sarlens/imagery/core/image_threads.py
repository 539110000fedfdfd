"""Threads for the blocking work on images: few of them decode, and many more can wait for stores."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from sarlens.imagery.core.image_task import ImageTask, ThreadSlots
from sarlens.imagery.core.object_reader import ArchiveMember, InMemoryObject, ObjectReader

P = ParamSpec("P")
T = TypeVar("T")

_LARGE_IMAGES_PER_CORE = 2
"""Large images in memory for each image that is decoded at the same time."""


class ImageThreads:
    """Runs blocking work on images.

    A slow bucket holds only its own share of the threads that read. Images in memory have threads of their own, so that
    no store delays them. All threads share the CPU slots. If the caller leaves, the work that hasn't started is
    dropped, a running fetch is aborted, and the thread is free for other images.

    Args:
        max_decodes: maximum number of images that use the CPU at the same time.
        max_reads: maximum number of images in S3 that are read or decoded at the same time.
        max_reads_per_bucket: maximum number of them in one bucket.
        max_decode_cpu_s: maximum CPU time for decoding one image, in seconds.
    """

    def __init__(
        self, *, max_decodes: int, max_reads: int, max_reads_per_bucket: int, max_decode_cpu_s: float = 10.0
    ) -> None:
        self._memory_pool = ThreadPoolExecutor(max_decodes, thread_name_prefix="imagery")
        self._read_pool = ThreadPoolExecutor(max_reads, thread_name_prefix="image-reads")
        self._cpu_slots = ThreadSlots(max_decodes)
        self._large_slots = ThreadSlots(_LARGE_IMAGES_PER_CORE * max_decodes)
        self._memory_bulkhead = Bulkhead(max_decodes, max_decodes)
        self._read_bulkhead = Bulkhead(max_reads, max_reads_per_bucket)
        self._max_decode_cpu_s = max_decode_cpu_s
        self._running: set[ImageTask] = set()

    async def run(self, reader: ObjectReader, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that reads an object, inside the current trace.

        Raises:
            SarlensError: as the work does.
        """
        bucket = _bucket(reader)
        if bucket is None:
            return await self.run_in_memory(work, *args, **kwargs)
        return await self._run(self._read_pool, self._read_bulkhead, bucket, partial(work, *args, **kwargs))

    async def run_in_memory(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that reads nothing from a store."""
        return await self._run(self._memory_pool, self._memory_bulkhead, "", partial(work, *args, **kwargs))

    async def run_in_pool(
        self, pool: Executor, reader: ObjectReader, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work that reads an object in another thread pool, with the limits of this one."""
        bucket = _bucket(reader)
        bulkhead = self._memory_bulkhead if bucket is None else self._read_bulkhead
        return await self._run(pool, bulkhead, bucket or "", partial(work, *args, **kwargs))

    @property
    def running(self) -> int:
        """Number of images that threads read, decode or render, or that have a slot and wait for a thread."""
        return len(self._running)

    def close(self) -> None:
        """Cancel all work, and let the threads end."""
        for task in tuple(self._running):
            task.cancel()
        for pool in (self._memory_pool, self._read_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, pool: Executor, bulkhead: Bulkhead, bucket: str, work: Callable[[], T]) -> T:
        await bulkhead.acquire(bucket)
        task = ImageTask(self._cpu_slots, self._large_slots, self._max_decode_cpu_s)
        self._running.add(task)
        future = asyncio.get_running_loop().run_in_executor(pool, copy_context().run, task.run, work)

        def finish(_: asyncio.Future[T]) -> None:
            self._running.discard(task)
            bulkhead.release(bucket)

        future.add_done_callback(finish)
        try:
            return await asyncio.shield(future)  # the slots are free when the thread is, not when the caller leaves
        except asyncio.CancelledError:
            task.cancel()
            raise


class Bulkhead:
    """Slots of tasks, of which each bucket can hold a share. Tasks wait in the order of their arrival."""

    def __init__(self, max_tasks: int, max_tasks_per_bucket: int) -> None:
        self._slots = asyncio.Semaphore(max_tasks)
        self._max_tasks_per_bucket = max_tasks_per_bucket
        self._buckets: dict[str, asyncio.Semaphore] = {}
        self._users: defaultdict[str, int] = defaultdict(int)

    async def acquire(self, bucket: str) -> None:
        """Take a slot of the bucket and one of all."""
        bucket_slots = self._buckets.setdefault(bucket, asyncio.Semaphore(self._max_tasks_per_bucket))
        self._users[bucket] += 1
        try:
            await bucket_slots.acquire()
            try:
                await self._slots.acquire()
            except BaseException:
                bucket_slots.release()
                raise
        except BaseException:
            self._leave(bucket)
            raise

    def release(self, bucket: str) -> None:
        """Return both slots."""
        self._slots.release()
        self._buckets[bucket].release()
        self._leave(bucket)

    def _leave(self, bucket: str) -> None:
        self._users[bucket] -= 1
        if not self._users[bucket]:
            del self._users[bucket], self._buckets[bucket]


def _bucket(reader: ObjectReader) -> str | None:
    """The bucket that reads of an object wait for, as ``s3://name``; None if the object is in memory."""
    if isinstance(reader, ArchiveMember):
        reader = reader.archive
    return None if isinstance(reader, InMemoryObject) else "/".join(reader.name.split("/", 3)[:3])
