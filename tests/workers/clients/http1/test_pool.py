"""Connections to a worker over real sockets: reuse, time-outs, cancellation, and their ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest

from sarlens.devstack.ports import free_port
from sarlens.errors import SarlensError, Timeout, WorkerFailed, WorkerUnreachable
from sarlens.workers.clients.base import StaleConnection
from sarlens.workers.clients.http1.pool import ConnectionPool, http_connections
from sarlens.workers.clients.http1.response import Response
from support.tls import tls
from support.workers.raw_worker import ANSWER, STREAM, Answer, Call, answer_once, chunk, into, raw_worker

Run = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def pool_of(
    url: str, *, connect_timeout_s: float = 2, keepalive_timeout_s: float = 4
) -> AsyncIterator[ConnectionPool]:
    """Open a pool of connections to a worker."""
    async with http_connections(
        connect_timeout_s=connect_timeout_s, keepalive_timeout_s=keepalive_timeout_s
    ) as connections:
        yield connections.pool(url, {})


async def get(pool: ConnectionPool, *, timeout_s: float = 20, idle_timeout_s: float = inf, **more: Any) -> Response:
    """Request a page; the response is readable."""
    head = pool.endpoint.head("GET", "/") + b"\r\n"
    return await pool.request(
        head, b"", timeout_s=timeout_s, max_bytes=more.pop("max_bytes", 2**20), idle_timeout_s=idle_timeout_s, **more
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_idle_connections_are_used_again(run: Run) -> None:
    """Requests in turn share one connection, and four at once have four; the one that was used last comes first."""

    async def scenario() -> None:
        async with raw_worker(answer_once) as worker, pool_of(worker.url) as pool:
            for _ in range(3):
                assert (await get(pool)).take() == b"{}"
            assert [call.connection for call in worker.calls] == [0, 0, 0]
            await asyncio.gather(*(get(pool) for _ in range(4)))
            assert {call.connection for call in worker.calls[3:]} == {0, 1, 2, 3}
            last = pool._idle[-1]
            await get(pool)
            assert pool._idle[-1] is last
            assert worker.opened == 4
            await get(pool, reuse=False)
            assert worker.opened == 5

    run(scenario())


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.0 200 OK\r\n\r\n{}"],
)
def test_a_connection_that_the_worker_ends_is_not_used_again(run: Run, head: bytes) -> None:
    """``Connection: close`` and HTTP/1.0 end the connection, and a length that is its end is honored."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            call.writer.write(head)
            call.writer.close()

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            for _ in range(2):
                assert (await get(pool)).take() == b"{}"
            assert worker.opened == 2

    run(scenario())


def test_an_idle_connection_ends_before_the_worker_ends_it(run: Run) -> None:
    """A connection that was idle for the keep-alive timeout is closed, and carries no other request."""

    async def scenario() -> None:
        async with raw_worker(answer_once) as worker, pool_of(worker.url, keepalive_timeout_s=0.1) as pool:
            await get(pool)
            await until(lambda: worker.ended == 1)
            assert not pool._idle
            await get(pool)
            assert worker.opened == 2

    run(scenario())


def test_a_timer_that_is_late_keeps_no_connection(run: Run) -> None:
    """A connection whose keep-alive timeout passed while the event loop was busy isn't used again."""

    async def scenario() -> None:
        async with raw_worker(answer_once) as worker, pool_of(worker.url, keepalive_timeout_s=0.1) as pool:
            await get(pool)
            time.sleep(0.15)  # noqa: ASYNC251  the event loop is busy
            await get(pool)
            assert worker.opened == 2

    run(scenario())


def test_a_connection_that_ended_while_idle_is_replaced(run: Run) -> None:
    """If the worker closes an idle connection, the next request has a new one, and no error."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            call.writer.write(ANSWER)
            call.writer.close()

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            await get(pool)
            await until(lambda: not pool._idle)
            await get(pool)
            assert worker.opened == 2

    run(scenario())


@pytest.mark.parametrize(("first", "error"), [(False, StaleConnection), (True, WorkerFailed)])
def test_a_request_on_a_connection_that_ends_is_stale_only_if_reused(
    run: Run, first: bool, error: type[SarlensError]
) -> None:
    """A connection that ends with the request on it is stale if it had carried another one, else the worker failed."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            if first or len(worker.calls) == 2:
                call.writer.transport.abort()
            else:
                call.writer.write(ANSWER)

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            if not first:
                await get(pool)
            with pytest.raises(WorkerFailed) as failure:
                await get(pool)
            assert type(failure.value) is error

    run(scenario())


async def _silent(_: Call) -> None:
    await asyncio.sleep(20)


async def _half_a_head(call: Call) -> None:
    await call.write(ANSWER[:20])
    await asyncio.sleep(20)


async def _half_a_body(call: Call) -> None:
    await call.write(ANSWER[:-1])
    await asyncio.sleep(20)


async def _a_byte_now_and_then(call: Call) -> None:
    call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
    while True:
        await call.write(b"x")


async def _a_stream_without_data(call: Call) -> None:
    await call.write(STREAM)
    await asyncio.sleep(20)


@pytest.mark.parametrize("answer", [_silent, _half_a_head, _half_a_body, _a_byte_now_and_then, _a_stream_without_data])
def test_a_response_that_is_not_readable_in_time_fails(run: Run, answer: Answer) -> None:
    """Whatever has arrived, a response that isn't readable in time fails, and its connection ends."""

    async def scenario() -> None:
        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            began = time.monotonic()
            with pytest.raises(Timeout, match="didn't respond in time"):
                await get(pool, timeout_s=0.2)
            assert time.monotonic() - began >= 0.19  # the clock of uvloop has milliseconds
            assert not pool._idle
            await until(lambda: not pool._shared.deadlines._members)

    run(scenario())


def test_a_stream_that_pauses_fails(run: Run) -> None:
    """Between two parts of a stream, at most the idle timeout passes; the time until it is read doesn't count."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            await call.write(STREAM, chunk(b"data: 1\n\n"))
            await asyncio.sleep(0.3)
            for number in range(6):
                await call.write(chunk(b"data: %d\n\n" % number))
                await asyncio.sleep(0.05)
            await asyncio.sleep(20)

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            response = await get(pool, timeout_s=0.2, idle_timeout_s=0.2)
            response.hold()
            await asyncio.sleep(0.25)
            received: list[bytes] = [response.take()]
            began = time.monotonic()
            with pytest.raises(Timeout, match="stopped sending in the middle"):
                await response.forward(into(received))
            assert time.monotonic() - began >= 0.19 + 5 * 0.05
            assert b"".join(received).count(b"data") == 7

    run(scenario())


def test_a_response_that_came_while_the_loop_was_busy_is_in_time(run: Run) -> None:
    """A response that waits in the socket when the deadline passes is read, since the gateway was late itself."""

    async def scenario() -> None:
        async with raw_worker(answer_once) as worker, pool_of(worker.url) as pool:
            request = asyncio.create_task(get(pool, timeout_s=0.2))
            await until(lambda: len(worker.calls) == 1)
            time.sleep(0.4)  # noqa: ASYNC251  the event loop is busy
            assert (await request).take() == b"{}"

    run(scenario())


def test_a_worker_without_a_connection_is_unreachable(run: Run) -> None:
    """A refused connection, a name without an address, and a TLS handshake that hangs are ``WorkerUnreachable``."""

    async def scenario() -> None:
        async with raw_worker(_silent) as worker:
            for url in (
                f"http://127.0.0.1:{free_port()}",
                "http://worker.invalid:8000",
                "http://worker..invalid:8000",
                f"https://127.0.0.1:{worker.port}",
            ):
                async with pool_of(url, connect_timeout_s=0.3) as pool:
                    with pytest.raises(WorkerUnreachable):
                        await get(pool)
            async with pool_of(f"https://127.0.0.1:{worker.port}") as pool:
                with pytest.raises(Timeout):
                    await get(pool, timeout_s=0.2)

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_canceled_request_ends_its_connection(run: Run, stream: bool) -> None:
    """The worker sees the end of the connection at once, so that it aborts the generation, and nothing is left."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            if stream:
                await call.write(STREAM, chunk(b"data: 1\n\n"))
            writers.append(call.writer)
            while not call.writer.is_closing():
                call.writer.write(b"1\r\nx\r\n" if stream else b"")
                await asyncio.sleep(0.005)

        writers: list[asyncio.StreamWriter] = []
        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:

            async def read() -> None:
                response = await get(pool)
                try:
                    await response.forward(lambda _: True)
                finally:
                    response.close()

            reading = asyncio.create_task(read())
            await until(lambda: len(writers) == 1)
            await asyncio.sleep(0.02)
            reading.cancel()
            await asyncio.wait({reading})
            assert reading.cancelled()
            await until(lambda: not pool._shared.deadlines._members)
            if stream:
                await until(writers[0].is_closing)
            else:
                writers[0].close()
            assert not pool._idle

    run(scenario())


def test_the_end_of_the_client_ends_all_connections(run: Run) -> None:
    """When the gateway ends, idle connections and those with a request end, and the request fails."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            if len(worker.calls) == 1:
                call.writer.write(ANSWER)
            elif len(worker.calls) == 2:
                await asyncio.sleep(0.1)

        async with raw_worker(answer) as worker:
            async with pool_of(worker.url) as pool:
                requests = [asyncio.create_task(get(pool)) for _ in range(2)]
                await until(lambda: len(worker.calls) == 2 and any(request.done() for request in requests))
            responses = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(response) for response in responses if isinstance(response, Exception)] == [WorkerFailed]
            assert [response.take() for response in responses if isinstance(response, Response)] == [b"{}"]
            await until(lambda: worker.ended == 2)

    run(scenario())


@pytest.mark.parametrize(("status", "length"), [(200, None), (500, 65536)])
def test_a_body_over_the_limit_is_cut_off(run: Run, status: int, length: int | None) -> None:
    """A body over the limit fails while it arrives; that of an error ends after 64 KiB, and both end the connection."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            call.writer.write(b"HTTP/1.1 %d Status\r\n\r\n" % status)
            while not call.writer.is_closing():
                await call.write(b"x" * 10_000)

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            if length is None:
                with pytest.raises(WorkerFailed, match="limit of 30000 bytes"):
                    await get(pool, max_bytes=30_000)
            else:
                body = (await get(pool, max_bytes=30_000)).take()
                assert length < len(body) <= length + 2**18
            await until(lambda: not pool._shared.deadlines._members)

    run(scenario())


def test_a_length_over_the_limit_fails_before_the_body(run: Run) -> None:
    """A response that announces too many bytes fails at its head."""

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            await asyncio.sleep(20)

        async with raw_worker(answer) as worker, pool_of(worker.url) as pool:
            with pytest.raises(WorkerFailed, match="limit of 1048576 bytes"):
                await get(pool)

    run(scenario())


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_large_bodies_pass_whole(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
    """A request and a response of 8 MB arrive whole, and the connection carries the next request."""
    certificates = tls(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))

    async def scenario() -> None:
        async def answer(call: Call) -> None:
            call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(call.body), call.body))
            await call.writer.drain()

        body = bytes(range(256)) * 2**15
        async with raw_worker(answer, tls=certificates.server if secure else None) as worker:
            url = f"https://localhost:{worker.port}" if secure else worker.url
            async with pool_of(url) as pool:
                head = pool.endpoint.head("POST", "/") + b"Content-Length: %d\r\n\r\n" % len(body)
                for form in (body, bytearray(body)):
                    response = await pool.request(head, form, timeout_s=60, max_bytes=2**24)
                    assert response.take() == body
                assert worker.opened == 1

    run(scenario())
