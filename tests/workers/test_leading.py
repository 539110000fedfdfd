"""Leaders, hedges and what workers are believed to hold."""

from __future__ import annotations

import asyncio

import pytest

from sarlens.workers.hedge import hedged
from sarlens.workers.leading import Leaders
from sarlens.workers.residency import Residency


async def test_one_leads_and_the_rest_follow() -> None:
    """Of eight questions about a new picture one goes ahead; the others follow it has arrived."""
    leaders, held, gone = Leaders(5), False, 0

    async def question() -> None:
        nonlocal held, gone
        arrive = await leaders.turn("p", lambda: held)
        gone += 1
        if not held:
            assert gone == 1
            await asyncio.sleep(0.02)
            held = True
        arrive()

    await asyncio.gather(*(question() for _ in range(8)))
    assert gone == 8
    assert not len(leaders)


async def test_when_the_leader_fails_the_next_leads() -> None:
    """A leader that arrives without the picture being held hands the lead to one of those who wait."""
    leaders, running, most = Leaders(5), 0, 0

    async def question() -> None:
        nonlocal running, most
        arrive = await leaders.turn("p", lambda: False)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        arrive()

    await asyncio.gather(*(question() for _ in range(4)))
    assert most == 1


async def test_patience_ends() -> None:
    """Nobody waits for a leader longer than the bound."""
    leaders = Leaders(0.05)
    await leaders.turn("p", lambda: False)
    async with asyncio.timeout(30):
        await leaders.turn("p", lambda: False)


def test_the_memory_of_pictures_is_bounded() -> None:
    """What was learnt longest ago is forgotten first; seeing a picture again keeps it."""
    residency = Residency(2)
    residency.learn(["a", "b"], {})
    residency.learn(["a"], {})
    residency.learn(["c"], {})
    assert ("a" in residency, "b" in residency, "c" in residency) == (True, False, True)
    residency.forget(["a", "unknown"])
    assert len(residency) == 1
    residency.clear()
    assert len(residency) == 0


async def attempt(after: float, outcome: str, ended: list[str]) -> str:
    """A try that takes its time and may fail."""
    try:
        await asyncio.sleep(after)
    except asyncio.CancelledError:
        ended.append(outcome)
        raise
    if outcome == "fails":
        raise ConnectionError
    return outcome


@pytest.mark.parametrize(
    ("first", "second", "winner", "cancelled"),
    [
        ((0.0, "first"), (0.0, "second"), "first", []),
        ((9.0, "first"), (0.0, "second"), "second", ["first"]),
        ((0.1, "fails"), (0.15, "second"), "second", []),
        ((0.1, "first"), (9.0, "second"), "first", ["second"]),
    ],
)
async def test_the_faster_of_two_wins(
    first: tuple[float, str], second: tuple[float, str], winner: str, cancelled: list[str]
) -> None:
    """The first to succeed is the answer, and the other one is cancelled."""
    ended: list[str] = []
    tries = (lambda: attempt(*first, ended)), (lambda: attempt(*second, ended))

    async def discard(_: str) -> None:
        ended.append("discarded")

    async with asyncio.timeout(8):
        assert await hedged(tries, after_s=0.03, allowed=lambda: True, discard=discard) == winner
    assert ended == cancelled


async def test_when_both_fail_it_fails() -> None:
    """The error of the last one is raised."""
    tries = (lambda: attempt(0.05, "fails", [])), (lambda: attempt(0.05, "fails", []))

    async def discard(_: str) -> None:
        raise AssertionError

    with pytest.raises(ConnectionError):
        await hedged(tries, after_s=0.01, allowed=lambda: True, discard=discard)
