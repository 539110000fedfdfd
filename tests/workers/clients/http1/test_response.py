"""Streams of a worker: what is passed on, when, and how a slow reader holds the worker back."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from sarlens.errors import Timeout, WorkerFailed
from support.memory_transport import Exchange
from support.workers.raw_worker import STREAM, chunk, into

KIB = b"x" * 1024


async def test_bytes_are_passed_on_as_they_arrive() -> None:
    """In ``forward``, a piece is written before ``data_received`` returns, without a change of tasks."""
    exchange = Exchange().feed([STREAM, chunk(b"a")], end=False)
    await exchange.response.wait()
    written: list[bytes] = []
    forwarding = asyncio.ensure_future(exchange.response.forward(into(written)))
    await asyncio.sleep(0)
    assert written == [b"a"]
    exchange.feed([chunk(b"b")], end=False)
    assert written == [b"a", b"b"]
    exchange.feed([chunk(b"c") + b"0\r\n\r\n"], end=False)
    assert (await forwarding, written, exchange.is_reusable) == (False, [b"a", b"b", b"c"], True)


async def test_a_writer_that_stops_gets_the_rest_later() -> None:
    """After ``write`` returns False nothing is written until the next call, which has the rest at once."""
    exchange = Exchange().feed([STREAM, chunk(b"a")], end=False)
    written: list[bytes] = []

    def write_one(data: bytes) -> bool:
        written.append(data)
        return False

    assert await exchange.response.forward(write_one)
    forwarding = asyncio.ensure_future(exchange.response.forward(write_one))
    await asyncio.sleep(0)
    exchange.feed([chunk(b"b") + chunk(b"c"), chunk(b"d")], end=False)
    assert await forwarding
    assert written == [b"a", b"b"]
    exchange.feed([b"0\r\n\r\n"], end=False)
    assert await exchange.response.forward(write_one)
    assert not await exchange.response.forward(write_one)
    assert written == [b"a", b"b", b"cd"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_slow_reader_pauses_the_worker(begun: bool) -> None:
    """Over 64 KiB of an unread stream pause the transport, before the stream is read or after a writer stopped."""
    exchange = Exchange().feed([STREAM, chunk(b"a")], end=False)
    if begun:
        assert await exchange.response.forward(lambda _: False)
    else:
        exchange.response.take()
    exchange.feed([chunk(KIB)] * 64, end=False)
    assert not exchange.transport.paused
    exchange.feed([chunk(KIB)], end=False)
    assert exchange.transport.paused
    written: list[bytes] = []
    forwarding = asyncio.ensure_future(exchange.response.forward(into(written)))
    await asyncio.sleep(0)
    assert ([len(data) for data in written], exchange.transport.paused) == ([65 * 1024], False)
    exchange.feed([chunk(KIB)] * 65 + [b"0\r\n\r\n"], end=False)
    assert (await forwarding, len(b"".join(written))) == (False, 130 * 1024)


async def test_a_stream_that_ends_while_it_is_paused_frees_its_connection() -> None:
    """If the last bytes pause the transport, it reads again for the next response."""
    exchange = Exchange().feed([STREAM, chunk(KIB * 65) + b"0\r\n\r\n"], end=False)
    assert (exchange.is_reusable, exchange.transport.paused) == (True, False)
    assert len(exchange.response.take()) == 65 * 1024


@pytest.mark.parametrize("stops", [False, True])
async def test_bytes_before_a_failure_come_first(stops: bool) -> None:
    """If a stream breaks off, its reader gets the bytes that arrived, then the error."""
    exchange = Exchange().feed([STREAM, chunk(b"a"), chunk(b"b")], end=True)
    await exchange.response.wait()
    written: list[bytes] = []

    def write(data: bytes) -> bool:
        written.append(data)
        return not stops

    if stops:
        assert await exchange.response.forward(write)
    with pytest.raises(WorkerFailed, match="in the middle"):
        await exchange.response.forward(write)
    assert written == [b"ab"]


async def test_an_error_of_the_writer_reaches_the_reader() -> None:
    """An exception of ``write`` ends the connection, and ``forward`` raises it as it is."""
    exchange = Exchange().feed([STREAM, chunk(b"a")], end=False)
    exchange.response.take()
    forwarding = asyncio.ensure_future(exchange.response.forward(lambda data: bool(1 / (len(data) - 1))))
    await asyncio.sleep(0)
    exchange.feed([chunk(b"b")], end=False)
    with pytest.raises(ZeroDivisionError):
        await forwarding
    assert exchange.transport.aborted


async def test_a_stream_has_no_deadline_while_it_isn_t_read() -> None:
    """The idle timeout begins with ``forward`` and with each part of the body, and ends with ``forward``."""
    exchange = Exchange().feed([STREAM, chunk(b"a")], end=False)
    exchange.response.hold()
    assert exchange.connection.expires_at == float("inf")
    exchange.response.take()
    now = asyncio.get_running_loop().time()
    forwarding = asyncio.ensure_future(exchange.response.forward(lambda data: data != b"end"))
    await asyncio.sleep(0)
    assert 59 < exchange.connection.expires_at - now < 61
    exchange.connection.expires_at = 0.0
    exchange.feed([b"", b"1;"], end=False)
    assert exchange.connection.expires_at == 0.0
    exchange.feed([b"x\r\nb\r\n"], end=False)
    assert 59 < exchange.connection.expires_at - now < 61
    exchange.feed([chunk(b"end")], end=False)
    await forwarding
    assert exchange.connection.expires_at == float("inf")


async def test_the_message_of_a_timeout_says_when() -> None:
    """Before a stream is passed on, the worker didn't respond in time; after that, it stopped sending."""
    early, late = Exchange(), Exchange().feed([STREAM, chunk(b"a")], end=False)
    late.response.take()
    forwarding = asyncio.ensure_future(late.response.forward(lambda _: True))
    await asyncio.sleep(0)
    for exchange in (early, late):
        exchange.connection.expire()
        assert exchange.transport.aborted
    with pytest.raises(Timeout, match="didn't respond"):
        await early.response.wait()
    with pytest.raises(Timeout, match="stopped sending"):
        await forwarding


async def test_a_failed_response_is_freed_with_its_error() -> None:
    """An error that was raised and dropped keeps neither the response nor its body until a garbage collection."""
    gc.disable()
    try:
        exchange = Exchange().feed([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"], end=True)
        response = exchange.response
        with suppress(WorkerFailed):
            await response.wait()
        freed = weakref.ref(response)
        del response, exchange.response
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("fields", "stream", "content_type", "retry_after_s"),
    [
        (b"Content-Type: Text/Event-Stream; charset=utf-8\r\n", True, "text/event-stream", None),
        (b"Content-Type: application/json\r\nRetry-After: 7\r\n", False, "application/json", 7),
        (
            b"Content-Type: text/event-stream\r\nContent-Type: text/html\r\n",
            False,
            "text/event-stream, text/html",
            None,
        ),
        (b"Retry-After: 0\r\n", False, "", 1),
        (b"Retry-After: 999999999\r\n", False, "", 86_400),
        (b"Retry-After: 9999999999\r\n", False, "", None),
        (b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", False, "", None),
        (b"Retry-After: \xb2\r\n", False, "", None),
    ],
)
async def test_headers_that_matter_are_read(
    fields: bytes, stream: bool, content_type: str, retry_after_s: int | None
) -> None:
    """The media type is in lower case without parameters; ``Retry-After`` is seconds, 1 to a day."""
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n"
    response = Exchange().feed([head], end=False).response
    assert (response.is_stream, response.content_type, response.retry_after_s) == (stream, content_type, retry_after_s)


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"br", b"identity, gzip", b""])
async def test_a_compressed_response_is_rejected(coding: bytes) -> None:
    """A response in a content coding fails at its head; an error in one has no body."""
    fields = b"Content-Encoding: " + coding + b"\r\nContent-Length: 2\r\n\r\nhi"
    with pytest.raises(WorkerFailed, match="compressed"):
        await Exchange().feed([b"HTTP/1.1 200 OK\r\n" + fields], end=False).response.wait()
    exchange = Exchange().feed([b"HTTP/1.1 500 No\r\n" + fields], end=False)
    await exchange.response.wait()
    assert (exchange.response.take(), exchange.is_reusable) == (b"", False)
    plain = Exchange().feed(
        [b"HTTP/1.1 200 OK\r\n" + fields.replace(coding or b": \r", b"Identity" if coding else b": identity\r", 1)],
        end=False,
    )
    await plain.response.wait()
    assert plain.response.take() == b"hi"
