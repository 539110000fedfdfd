"""Blocking work on one image, which holds a CPU slot except while it waits for a store, and which can be canceled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from concurrent.futures import Future as ConcurrentFuture
from threading import Condition, local
from time import perf_counter, thread_time
from typing import Any, TypeVar

from sarlens.errors import PayloadTooLarge

T = TypeVar("T")

LARGE_BYTES = 32 * 2**20
"""An image that needs more memory than this in bytes waits for a slot of its own."""


class ImageTaskCanceled(Exception):
    """The callers of a task have left, or its time limit has passed."""


class ThreadSlots:
    """Slots that threads take and return."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = Condition()

    def acquire(self, task: ImageTask) -> None:
        """Take a slot; wait until one is free.

        Raises:
            ImageTaskCanceled: the task was canceled before or during the wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._free or task.canceled)
            if task.canceled:
                self._changed.notify()  # this thread may have consumed the notification of a free slot
                raise ImageTaskCanceled
            self._free -= 1

    def release(self) -> None:
        """Return a slot."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    def wake_all(self) -> None:
        """Make waiting threads check whether their task was canceled."""
        with self._changed:
            self._changed.notify_all()


class ImageTask:
    """One piece of blocking work.

    Args:
        cpu_slots: slots of work that isn't waiting.
        large_slots: slots of images that need more than ``LARGE_BYTES``.
        max_cpu_s: maximum CPU time until the last ``check``, in seconds.
    """

    def __init__(self, cpu_slots: ThreadSlots, large_slots: ThreadSlots, max_cpu_s: float) -> None:
        self.canceled = False
        self.queue_seconds = 0.0
        """Seconds that the task has waited for slots."""
        self._cpu_slots = cpu_slots
        self._large_slots = large_slots
        self._max_cpu_s = max_cpu_s
        self._cpu_started_at = 0.0
        self._held: list[ThreadSlots] = []
        self._fetch: ConcurrentFuture[Any] | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Do the work in this thread, as soon as a CPU slot is free.

        Raises:
            ImageTaskCanceled: the task was canceled.
        """
        _thread.task = self
        self._cpu_started_at = thread_time()
        try:
            self._acquire(self._cpu_slots)
            return work()
        finally:
            _thread.task = None
            for slots in self._held:
                slots.release()

    def cancel(self) -> None:
        """End the task at its next fetch or slot, and abort the fetch that it waits for."""
        self.canceled = True
        if self._fetch is not None:
            self._fetch.cancel()
        self._cpu_slots.wake_all()
        self._large_slots.wake_all()

    def check(self) -> None:
        """End the work of a canceled task, and of one that uses too much CPU time. Decoders call this as they read.

        Raises:
            ImageTaskCanceled: the task was canceled.
            PayloadTooLarge: the task has used more than ``max_cpu_s``.
        """
        if self.canceled:
            raise ImageTaskCanceled
        if thread_time() - self._cpu_started_at > self._max_cpu_s:
            raise PayloadTooLarge(f"The image needs more than {self._max_cpu_s:g} s of CPU time to decode.")

    def fetch(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """The result of a coroutine that runs in an event loop; the CPU slot is free meanwhile."""
        self._release(self._cpu_slots)
        self._fetch = fetch = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            if self.canceled:  # cancel may have run before the line above
                fetch.cancel()
            return fetch.result()
        except CancelledError:
            raise ImageTaskCanceled from None
        finally:
            self._fetch = None
            self._acquire(self._cpu_slots)

    def reserve_memory(self, size: int) -> None:
        """Take a slot for a large image; a task takes at most one."""
        if size > LARGE_BYTES and self._large_slots not in self._held:
            self._release(self._cpu_slots)
            self._acquire(self._large_slots)
            self._acquire(self._cpu_slots)

    def _acquire(self, slots: ThreadSlots) -> None:
        started_at = perf_counter()
        slots.acquire(self)
        self._held.append(slots)
        self.queue_seconds += perf_counter() - started_at

    def _release(self, slots: ThreadSlots) -> None:
        self._held.remove(slots)
        slots.release()


class _Thread(local):
    """The thread's own state."""

    task: ImageTask | None = None


_thread = _Thread()


def current_task() -> ImageTask | None:
    """The task that this thread works on."""
    return _thread.task


def fetch_blocking(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Wait in a thread for a coroutine of an event loop; as ``ImageTask.fetch`` within a task.

    Raises:
        ImageTaskCanceled: the task was canceled.
    """
    task = current_task()
    return task.fetch(coroutine, loop) if task else asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def queue_seconds() -> float:
    """Seconds that the task of this thread has waited for slots so far."""
    task = current_task()
    return task.queue_seconds if task else 0.0


def reserve_memory(size: int) -> None:
    """Wait until an image that needs ``size`` bytes of memory may be decoded.

    Raises:
        ImageTaskCanceled: the task was canceled.
    """
    if task := current_task():
        task.reserve_memory(size)


def check_task() -> None:
    """Check the task of this thread, if there is one; raises as ``ImageTask.check``."""
    if task := current_task():
        task.check()
