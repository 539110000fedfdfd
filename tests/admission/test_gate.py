"""The gate: places, the queue, priorities and deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.admission.gate import Gate
from sarlens.admission.memory import Memory
from sarlens.errors import DeadlinePassed, Overloaded
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY, Terms


def gate(places: int = 1, pixels: int = 1000, queue: int = 2, queue_s: float = 5.0) -> Gate:
    """A gate with little room."""
    return Gate(places=lambda: places, pixels=pixels, queue=queue, queue_s=queue_s, metrics=Metrics())


@asynccontextmanager
async def inside(door: Gate, terms: Terms = ANYBODY, pixels: int = 0) -> AsyncIterator[None]:
    """Go in, and come out in the end."""
    await door.enter(terms, pixels)
    try:
        yield
    finally:
        door.leave(pixels, 0.01)


async def through(door: Gate, terms: Terms = ANYBODY, pixels: int = 0, seconds: float = 0.0) -> float:
    """Go in, stay, and come out; the time of going in."""
    async with inside(door, terms, pixels):
        entered = time.monotonic()
        await asyncio.sleep(seconds)
    return entered


async def test_beyond_the_queue_it_is_refused_at_once() -> None:
    """One works, two wait, and the fourth is told at once when to come again."""
    door = gate()
    tasks = [asyncio.create_task(through(door, seconds=0.05)) for _ in range(3)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded) as refused:
        await through(door)
    assert refused.value.retry_after
    entered = [await task for task in tasks]
    assert entered == sorted(entered)


async def test_who_ranks_higher_goes_first_and_pushes_others_out() -> None:
    """A lower priority number is served before those who came earlier, and takes the place of the last of them."""
    door = gate()
    async with inside(door):
        batch = [asyncio.create_task(through(door, Terms(priority=10))) for _ in range(2)]
        await asyncio.sleep(0)
        urgent = asyncio.create_task(through(door, Terms(priority=-1)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batch[1]
    assert await urgent < await batch[0]


async def test_waiting_ends_with_the_deadline_or_the_queues_patience() -> None:
    """A caller's own deadline is 408, the gateway's patience 503; neither leaves anything behind."""
    door = gate(queue_s=0.05)
    async with inside(door):
        with pytest.raises(DeadlinePassed):
            await through(door, Terms(deadline=time.time() + 0.01))
        with pytest.raises(Overloaded):
            await through(door)
    await through(door)


async def test_pixels_are_bounded() -> None:
    """Requests wait for room for their pictures; one that is larger than all the room goes alone."""
    door = gate(places=8, pixels=100)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(inside(door, pixels=90))
        waiting = asyncio.create_task(through(door, pixels=20))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    await through(door, pixels=10_000)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.004), st.booleans()), max_size=20))
async def test_no_place_is_ever_lost(callers: list[tuple[int, float, bool]]) -> None:
    """Whoever waits, leaves or is cancelled, in the end all places are free and nobody is in the queue."""
    door = gate(places=2, queue=3, queue_s=0.01)

    async def caller(priority: int, seconds: float, leaves: bool) -> None:
        going = asyncio.create_task(through(door, Terms(priority=priority), seconds=seconds))
        if leaves:
            await asyncio.sleep(seconds / 2)
            going.cancel()
        await asyncio.wait({going})

    await asyncio.gather(*(caller(*each) for each in callers))
    assert (door._running, door._pixels, door._waiting) == (0, 0, [])
    async with inside(door), inside(door):
        pass


def test_memory_is_given_back() -> None:
    """Bodies beyond the limit are refused, and what a request held is free when it ends, also when it fails."""
    memory = Memory(100, Metrics())
    with memory.holding() as one:
        one.grow(60)
        one.grow(40)
        with pytest.raises(Overloaded), memory.holding() as other:
            other.grow(41)
        with memory.holding() as third:
            third.grow(40)
    assert memory.held == 0
