"""Hedged requests."""

from __future__ import annotations

import asyncio

import pytest

from sarlens.workers.hedging import hedged_request


async def attempt(delay_s: float, outcome: str, canceled: list[str]) -> str:
    """Succeed or fail after a delay; record a cancellation."""
    try:
        await asyncio.sleep(delay_s)
    except asyncio.CancelledError:
        canceled.append(outcome)
        raise
    if outcome == "fails":
        raise ConnectionError
    return outcome


@pytest.mark.parametrize(
    ("first", "second", "winner", "losers"),
    [
        ((0.0, "first"), (0.0, "second"), "first", []),
        ((9.0, "first"), (0.0, "second"), "second", ["first"]),
        ((0.1, "fails"), (0.15, "second"), "second", []),
        ((0.1, "first"), (9.0, "second"), "first", ["second"]),
    ],
)
async def test_the_first_success_wins(
    first: tuple[float, str], second: tuple[float, str], winner: str, losers: list[str]
) -> None:
    """The result is that of the first attempt that succeeds; the other attempt is canceled."""
    canceled: list[str] = []
    attempts = (lambda: attempt(*first, canceled)), (lambda: attempt(*second, canceled))

    async def discard(_: str) -> None:
        canceled.append("discarded")

    async with asyncio.timeout(8):
        assert await hedged_request(attempts, after_s=0.03, may_hedge=lambda: True, discard=discard) == winner
    assert canceled == losers


async def test_a_losing_result_is_discarded() -> None:
    """If both attempts have a result, exactly the loser's result goes to ``discard``."""
    discarded: list[str] = []
    both_done = asyncio.Event()

    async def slow() -> str:
        try:
            await both_done.wait()
        except asyncio.CancelledError:
            return "slow"
        return "slow"

    async def fast() -> str:
        return "fast"

    async def discard(result: str) -> None:
        discarded.append(result)

    async with asyncio.timeout(8):
        winner = await hedged_request((slow, fast), after_s=0.01, may_hedge=lambda: True, discard=discard)
    assert (winner, discarded) == ("fast", ["slow"])


async def test_without_permission_no_second_attempt_starts() -> None:
    """If ``may_hedge`` returns False, the second attempt never starts."""
    started: list[str] = []

    async def run(name: str) -> str:
        started.append(name)
        await asyncio.sleep(0.05)
        return name

    async def discard(_: str) -> None:
        raise AssertionError

    attempts = (lambda: run("first")), (lambda: run("second"))
    assert await hedged_request(attempts, after_s=0.01, may_hedge=lambda: False, discard=discard) == "first"
    assert started == ["first"]


async def test_the_last_error_is_raised() -> None:
    """If both attempts fail, the error of the last one is raised."""
    attempts = (lambda: attempt(0.05, "fails", [])), (lambda: attempt(0.05, "fails", []))

    async def discard(_: str) -> None:
        raise AssertionError

    with pytest.raises(ConnectionError):
        await hedged_request(attempts, after_s=0.01, may_hedge=lambda: True, discard=discard)
