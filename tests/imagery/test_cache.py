"""What is not done twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sarlens.errors import SourceUnavailable
from sarlens.imagery.cache import ByteLRU, SingleFlight

LIMIT = 10
KEYS = st.integers(0, 5)


class CacheMachine(RuleBasedStateMachine):
    """The cache beside a plain list of keys in order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: ByteLRU[int, bytes] = ByteLRU(LIMIT, weigh=len)
        self.model: OrderedDict[int, bytes] = OrderedDict()
        self.asked = 0

    @rule(key=KEYS, value=st.binary(max_size=LIMIT + 2))
    def put(self, key: int, value: bytes) -> None:
        """Keep a value."""
        """Put a value into cache and model."""
        self.cache.put(key, value)
        self.model.pop(key, None)
        if len(value) <= LIMIT:
            self.model[key] = value
        while sum(map(len, self.model.values())) > LIMIT:
            self.model.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """Ask for one."""
        """Both find the same."""
        self.asked += 1
        if key in self.model:
            self.model.move_to_end(key)
        assert self.cache.get(key) == self.model.get(key)

    @rule(key=KEYS)
    def drop(self, key: int) -> None:
        """Forget one."""
        """Forget it in both."""
        self.cache.drop(key)
        self.model.pop(key, None)

    @invariant()
    def weighs_what_it_holds(self) -> None:
        """The weight is that of the model, and within the limit."""
        """The weight is that of the values."""
        assert self.cache.weight == sum(map(len, self.model.values())) <= LIMIT
        assert len(self.cache) == len(self.model)
        assert self.cache.hits + self.cache.misses == self.asked


def test_a_cache_holds_what_was_used_last() -> None:
    """A cache holds what was used last, never more than its limit, and counts every question."""
    run_state_machine_as_test(CacheMachine)


def test_threads_share_a_cache() -> None:
    """A cache under the hands of eight threads still weighs what it holds."""
    cache: ByteLRU[int, bytes] = ByteLRU(1000, weigh=len)

    def work(seed: int) -> None:
        for step in range(3000):
            key = (seed * step) % 50
            if cache.get(key) is None:
                cache.put(key, bytes(key))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(1, 9)))
    assert cache.weight == sum(len(cache.get(key) or b"") for key in range(50)) <= 1000
    assert cache.hits + cache.misses == 8 * 3000 + 50


class Work:
    """Work that counts how often it is begun and broken off, and waits to be let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.broken_off = 0
        self.let_go = asyncio.Event()
        self.error = error

    async def __call__(self) -> str:
        """Do it."""
        self.begun += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        if self.error:
            raise self.error
        return "done"


async def _crowd(flights: SingleFlight[str, str], work: Work, size: int) -> list[asyncio.Task[str]]:
    callers = [asyncio.create_task(flights.run("key", work)) for _ in range(size)]
    await asyncio.sleep(0.01)
    return callers


async def test_callers_for_one_key_share_the_work() -> None:
    """A hundred callers who ask for the same at the same time have it done once; the next one has it done again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    callers = await _crowd(flights, work, 100)
    other = Work()
    other.let_go.set()
    assert await flights.run("other key", other) == "done"
    work.let_go.set()
    assert await asyncio.gather(*callers) == ["done"] * 100
    assert (work.begun, other.begun, len(flights)) == (1, 1, 0)
    assert await flights.run("key", work) == "done"
    assert work.begun == 2


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    """The work goes on when the caller who began it is cancelled."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    first, second = await _crowd(flights, work, 2)
    first.cancel()
    await asyncio.sleep(0.01)
    work.let_go.set()
    assert await second == "done"
    assert first.cancelled()
    assert (work.begun, work.broken_off) == (1, 0)


async def test_work_for_nobody_is_broken_off() -> None:
    """When the last caller leaves, the work is cancelled, and who asks then has it done anew."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    callers = await _crowd(flights, work, 3)
    for caller in callers:
        caller.cancel()
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(flights.run("key", work))
    await asyncio.sleep(0.01)
    assert (work.begun, work.broken_off) == (2, 1)
    work.let_go.set()
    assert await newcomer == "done"
    assert len(flights) == 0


async def test_an_error_reaches_everybody_and_is_not_kept() -> None:
    """All who wait for work that fails get its error; the next caller has it tried again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work(SourceUnavailable("The store is down."))
    callers = await _crowd(flights, work, 5)
    work.let_go.set()
    failures = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(failure) for failure in failures] == [SourceUnavailable] * 5
    work.error = None
    assert await flights.run("key", work) == "done"


async def test_an_impatient_caller_has_a_time_limit_of_its_own() -> None:
    """A caller's timeout ends its own waiting and nobody else's."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (patient,) = await _crowd(flights, work, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.run("key", work)
    work.let_go.set()
    assert await patient == "done"
    assert work.begun == 1
