"""The LRU cache and single flight."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sarlens.errors import SourceUnavailable
from sarlens.imagery.core.cache import LRUCache, SingleFlight

LIMIT = 10
KEYS = st.integers(0, 5)


class CacheMachine(RuleBasedStateMachine):
    """The cache next to a plain list of keys in order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: LRUCache[int, bytes] = LRUCache(LIMIT, getsizeof=len)
        self.model: OrderedDict[int, bytes] = OrderedDict()
        self.lookups = 0

    @rule(key=KEYS, value=st.binary(max_size=LIMIT + 2))
    def put(self, key: int, value: bytes) -> None:
        """Put a value into cache and model."""
        self.cache.put(key, value)
        self.model.pop(key, None)
        if len(value) <= LIMIT:
            self.model[key] = value
        while sum(map(len, self.model.values())) > LIMIT:
            self.model.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """Look a key up in both."""
        self.lookups += 1
        if key in self.model:
            self.model.move_to_end(key)
        assert self.cache.get(key) == self.model.get(key)

    @rule(key=KEYS)
    def drop(self, key: int) -> None:
        """Remove a key from both."""
        self.cache.drop(key)
        self.model.pop(key, None)

    @invariant()
    def has_the_size_of_its_values(self) -> None:
        """The size is that of the values and within the limit."""
        assert self.cache.size_bytes == sum(map(len, self.model.values())) <= LIMIT
        assert len(self.cache) == len(self.model)
        assert self.cache.hits + self.cache.misses == self.lookups


def test_a_cache_holds_the_most_recently_used_values() -> None:
    """A cache holds the most recently used values within its limit, and counts every lookup."""
    run_state_machine_as_test(CacheMachine)


def test_threads_share_a_cache() -> None:
    """After use by eight threads, the size is that of the values, and every lookup is counted."""
    cache: LRUCache[int, bytes] = LRUCache(1000, getsizeof=len)

    def work(seed: int) -> None:
        for step in range(3000):
            key = (seed * step) % 50
            if cache.get(key) is None:
                cache.put(key, bytes(key))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(1, 9)))
    assert cache.size_bytes == sum(len(cache.get(key) or b"") for key in range(50)) <= 1000
    assert cache.hits + cache.misses == 8 * 3000 + 50


class Work:
    """Work that counts its starts and cancellations, and waits for ``finish``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started = 0
        self.canceled = 0
        self.finish = asyncio.Event()
        self.error = error

    async def __call__(self) -> str:
        """Wait for ``finish``, then return or raise."""
        self.started += 1
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        if self.error:
            raise self.error
        return "done"


async def _start_callers(flights: SingleFlight[str, str], work: Work, size: int) -> list[asyncio.Task[str]]:
    callers = [asyncio.create_task(flights.run("key", work)) for _ in range(size)]
    await asyncio.sleep(0.01)
    return callers


async def test_callers_of_one_key_share_the_work() -> None:
    """A hundred callers of one key start the work once; the next caller starts it again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    callers = await _start_callers(flights, work, 100)
    other = Work()
    other.finish.set()
    assert await flights.run("other key", other) == "done"
    work.finish.set()
    assert await asyncio.gather(*callers) == ["done"] * 100
    assert (work.started, other.started, len(flights)) == (1, 1, 0)
    assert await flights.run("key", work) == "done"
    assert work.started == 2


async def test_a_canceled_caller_does_not_affect_the_others() -> None:
    """The work continues if the caller that started it is canceled."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    first, second = await _start_callers(flights, work, 2)
    first.cancel()
    await asyncio.sleep(0.01)
    work.finish.set()
    assert await second == "done"
    assert first.cancelled()
    assert (work.started, work.canceled) == (1, 0)


async def test_work_without_callers_is_canceled() -> None:
    """If the last caller leaves, the work is canceled, and the next caller starts it again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    callers = await _start_callers(flights, work, 3)
    for caller in callers:
        caller.cancel()
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(flights.run("key", work))
    await asyncio.sleep(0.01)
    assert (work.started, work.canceled) == (2, 1)
    work.finish.set()
    assert await newcomer == "done"
    assert len(flights) == 0


async def test_an_error_reaches_all_callers_and_is_not_cached() -> None:
    """All callers get the error of the work; the next caller starts it again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work(SourceUnavailable("The store is down."))
    callers = await _start_callers(flights, work, 5)
    work.finish.set()
    failures = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(failure) for failure in failures] == [SourceUnavailable] * 5
    work.error = None
    assert await flights.run("key", work) == "done"


async def test_a_timeout_of_one_caller_affects_only_it() -> None:
    """A caller's timeout ends only its own wait."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (waiting,) = await _start_callers(flights, work, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.run("key", work)
    work.finish.set()
    assert await waiting == "done"
    assert work.started == 1
