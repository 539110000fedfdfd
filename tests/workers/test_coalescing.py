"""Request coalescing."""

from __future__ import annotations

import asyncio

from sarlens.workers.coalescing import RequestCoalescer


async def test_one_request_leads_and_the_others_follow() -> None:
    """Of eight concurrent requests for a new image, one goes first and seven follow once the image is cached."""
    coalescer, cached, started = RequestCoalescer(5), False, 0

    async def request() -> None:
        nonlocal cached, started
        release = await coalescer.wait_for_leader("p", lambda: cached)
        started += 1
        if not cached:
            assert started == 1
            await asyncio.sleep(0.02)
            cached = True
        release()

    await asyncio.gather(*(request() for _ in range(8)))
    assert started == 8
    assert len(coalescer) == 0


async def test_the_next_request_leads_after_a_failure() -> None:
    """If the leader fails, one waiting request leads: at most one of four runs at a time."""
    coalescer, running, max_running = RequestCoalescer(5), 0, 0

    async def request() -> None:
        nonlocal running, max_running
        release = await coalescer.wait_for_leader("p", lambda: False)
        running += 1
        max_running = max(max_running, running)
        await asyncio.sleep(0.005)
        running -= 1
        release()

    await asyncio.gather(*(request() for _ in range(4)))
    assert max_running == 1


async def test_the_wait_ends_at_the_timeout() -> None:
    """A request waits for the leader for the timeout of 0.05 s, and then continues."""
    coalescer = RequestCoalescer(0.05)
    await coalescer.wait_for_leader("p", lambda: False)
    started_at = asyncio.get_running_loop().time()
    async with asyncio.timeout(30):
        await coalescer.wait_for_leader("p", lambda: False)
    assert asyncio.get_running_loop().time() - started_at >= 0.05


async def test_images_are_coalesced_independently() -> None:
    """A request for another image doesn't wait."""
    coalescer = RequestCoalescer(60)
    await coalescer.wait_for_leader("p", lambda: False)
    async with asyncio.timeout(1):
        await coalescer.wait_for_leader("q", lambda: False)
    assert len(coalescer) == 2
