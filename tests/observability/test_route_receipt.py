"""Route receipts: their values, their form and their times."""

from __future__ import annotations

import asyncio

import pytest

from sarlens.observability import route_receipt
from sarlens.observability.route_receipt import BusyTime, RouteReceipt, bind_route_receipt, image_time, queue_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the receipt's clock."""
    now = [100.0]
    monkeypatch.setattr(route_receipt, "perf_counter", lambda: now[0])
    return now


def test_a_receipt_is_a_dictionary_of_rfc_9651(clock: list[float]) -> None:
    """Strings are quoted, times have one decimal, and the attributes of the span have the same values."""
    receipt = RouteReceipt({"gpu-1:8000"}, {"affinity"}, attempts=1)
    receipt.record_images(hit=True, bytes_saved=48_211)
    with receipt.queue_time:
        clock[0] += 0.0004
    with receipt.image_time:
        clock[0] += 0.02614
    assert receipt.to_structured_field() == (
        'worker="gpu-1:8000", policy="affinity", cache="hit", attempts=1, bytes_saved=48211, '
        "queue_ms=0.4, image_ms=26.1"
    )
    assert receipt.to_attributes() == {
        "sarlens.route.worker": "gpu-1:8000",
        "sarlens.route.policy": "affinity",
        "sarlens.route.cache": "hit",
        "sarlens.route.attempts": 1,
        "sarlens.route.bytes_saved": 48_211,
        "sarlens.route.queue_ms": 0.4,
        "sarlens.route.image_ms": 26.1,
    }


def test_the_parts_of_a_request_are_added_up() -> None:
    """Two workers are an inner list in alphabetical order, and a hit and a miss are partial."""
    receipt = RouteReceipt({"b", 'a"\\é'}, {"affinity"}, attempts=3)
    receipt.record_images(hit=True, bytes_saved=10)
    receipt.record_images(hit=False, bytes_saved=5)
    field = receipt.to_structured_field()
    assert field.startswith('worker=("a\\"\\\\?" "b"), policy="affinity", cache="partial", attempts=3, bytes_saved=15,')
    assert receipt.to_attributes()["sarlens.route.worker"] == 'a"\\é,b'


def test_a_request_without_a_route_has_no_receipt(clock: list[float]) -> None:
    """A receipt is empty until the request is queued or sent; a queued one has neither worker nor cache."""
    receipt = RouteReceipt()
    with receipt.image_time:
        clock[0] += 1
    assert (receipt.to_structured_field(), receipt.to_attributes()) == ("", {})
    with receipt.queue_time:
        clock[0] += 2
    assert receipt.to_structured_field() == "attempts=0, bytes_saved=0, queue_ms=2000.0, image_ms=1000.0"


def test_concurrent_blocks_count_once(clock: list[float]) -> None:
    """The busy time of overlapping blocks is that of their union, also while one still runs."""
    busy = BusyTime()
    with busy:
        clock[0] += 1
        with busy:
            clock[0] += 2
        assert busy.seconds == 3
        clock[0] += 4
    clock[0] += 8
    assert busy.seconds == 7
    with busy:
        clock[0] += 16
        assert busy.seconds == 23


async def test_times_count_for_the_receipt_of_the_task(clock: list[float]) -> None:
    """The tasks of a request share its receipt; without one, nothing is recorded."""
    receipt = RouteReceipt()

    async def wait() -> None:
        with queue_time(), image_time():
            clock[0] += 1

    await asyncio.create_task(wait())
    bind_route_receipt(receipt)
    await asyncio.gather(asyncio.create_task(wait()), wait())
    bind_route_receipt(None)
    await wait()
    assert (receipt.queue_time.seconds, receipt.image_time.seconds) == (2, 2)
