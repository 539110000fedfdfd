"""A request and its response between a connection and an ASGI application."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

import pytest
import structlog.testing
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from sarlens.api.common.disconnect import CancelOnDisconnect, ClientDisconnected
from sarlens.errors import RequestTimeout
from sarlens.server.request_cycle import RequestCycle
from sarlens.server.response_transport import ResponseTransport


class Connection:
    """A transport that records what is written, and a cycle that uses it."""

    def __init__(self, **scope: Any) -> None:
        self.writes: list[bytes] = []
        self.paused = False
        self.closed = self.completed = 0
        responses = ResponseTransport(cast("asyncio.Transport", self), self._close)
        self.flow = FlowControl(cast("asyncio.Transport", self))
        self.scope: Scope = {"method": "POST", "http_version": "1.1", "path": "/v1/x", **scope}
        self.cycle = RequestCycle(
            self.scope,
            responses,
            self.flow,
            [(b"date", b"today")],
            self._complete,
            keep_alive=True,
            expects_continue=False,
        )

    def write(self, data: bytes) -> None:
        """Record a write."""
        self.writes.append(data)

    def is_closing(self) -> bool:
        """Whether the connection ends; it never does."""
        return False

    def pause_reading(self) -> None:
        """Record that reading is paused."""
        self.paused = True

    def resume_reading(self) -> None:
        """Record that reading continues."""
        self.paused = False

    def _close(self) -> None:
        self.closed += 1

    def _complete(self) -> None:
        self.completed += 1


async def respond(cycle: RequestCycle, body: bytes, *, more: bool = False, length: int | None = None) -> None:
    """Send a response with a length, and its body."""
    headers = [(b"content-length", str(len(body) if length is None else length).encode())]
    await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
    await cycle.send({"type": "http.response.body", "body": body, "more_body": more})


async def test_head_and_body_are_one_write() -> None:
    """A response of known length costs one write to the socket."""
    connection = Connection()
    connection.cycle.end_body()
    await respond(connection.cycle, b"{}")
    assert connection.writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}"]
    assert (connection.cycle.response_complete, connection.completed, connection.closed) == (True, 1, 0)


async def test_a_large_body_is_not_copied() -> None:
    """The transport gets the same object that the application sent, after the head."""
    connection = Connection()
    connection.cycle.end_body()
    body = b"x" * 100_000
    await respond(connection.cycle, body)
    assert len(connection.writes) == 2
    assert connection.writes[1] is body


async def test_the_head_of_a_stream_is_written_at_once() -> None:
    """A client of a stream reads its head before the first event."""
    connection = Connection()
    connection.cycle.end_body()
    await connection.cycle.send({"type": "http.response.start", "status": 200, "headers": []})
    assert connection.writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"]
    await connection.cycle.send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await connection.cycle.send({"type": "http.response.body", "body": b"", "more_body": True})
    await connection.cycle.send({"type": "http.response.body", "body": b"d"})
    assert connection.writes[1:] == [b"3\r\nabc\r\n", b"", b"1\r\nd\r\n0\r\n\r\n"]


@pytest.mark.parametrize("length", [1, 3])
async def test_a_wrong_length_ends_the_connection(length: int) -> None:
    """A body that differs from its length isn't sent: the client would take a part of it for the next response."""
    connection = Connection()
    connection.cycle.end_body()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await respond(connection.cycle, b"{}", length=length)

    with structlog.testing.capture_logs() as logs:
        await connection.cycle.run(app, set())
    assert (connection.writes, connection.closed) == ([], 1)
    assert [line["event"] for line in logs] == ["unexpected error"]


async def test_an_exception_before_the_response_is_a_500() -> None:
    """An application that fails without a response is answered by the server, and logged."""
    connection = Connection()
    connection.cycle.end_body()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("secret")

    with structlog.testing.capture_logs() as logs:
        await connection.cycle.run(app, set())
    assert connection.writes[0].startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"secret" not in connection.writes[0]
    assert [line["event"] for line in logs] == ["unexpected error"]


async def test_a_response_to_an_incomplete_request_closes_the_connection() -> None:
    """The rest of the body isn't the next request."""
    connection = Connection()
    await respond(connection.cycle, b"{}")
    assert b"connection: close\r\n" in connection.writes[0]
    assert connection.closed == 1


async def test_the_body_is_received_once_in_order() -> None:
    """Parts that arrived together are one message; the last one says that no more follows."""
    connection = Connection()
    part = b"a" * 70_000
    connection.cycle.feed(part)
    connection.flow.pause_reading()
    message = await connection.cycle.receive()
    assert message["body"] is part
    assert (message["more_body"], connection.paused) == (True, False)
    connection.cycle.feed(b"b")
    connection.cycle.feed(b"c")
    connection.cycle.end_body()
    assert await connection.cycle.receive() == {"type": "http.request", "body": b"bc", "more_body": False}
    waiting = asyncio.create_task(connection.cycle.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    connection.cycle.disconnect()
    assert await waiting == {"type": "http.disconnect"}


async def test_a_failure_ends_the_body() -> None:
    """An error of the connection is raised where the rest of the body would be."""
    connection = Connection()
    waiting = asyncio.create_task(connection.cycle.receive())
    await asyncio.sleep(0)
    connection.cycle.fail(RequestTimeout("Too slow."))
    with pytest.raises(RequestTimeout):
        await waiting


async def test_a_disconnect_cancels_the_block() -> None:
    """A block that waits ends with ClientDisconnected, and the task isn't canceled afterwards."""
    connection = Connection()

    async def work() -> bool:
        connection.cycle.task = asyncio.current_task()
        with pytest.raises(ClientDisconnected), CancelOnDisconnect(connection.scope):
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        return task is not None and not task.cancelling()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    connection.cycle.disconnect()
    assert await task


async def test_a_disconnect_before_the_block_cancels_it_too() -> None:
    """If the client left before the block, the block ends at its first wait."""
    connection = Connection()
    connection.cycle.task = asyncio.current_task()
    connection.cycle.disconnect()
    with pytest.raises(ClientDisconnected), CancelOnDisconnect(connection.scope):
        await asyncio.sleep(60)


async def test_a_disconnect_after_the_block_cancels_nothing() -> None:
    """Only the block is canceled; what follows it completes."""
    connection = Connection()
    connection.cycle.task = asyncio.current_task()
    with CancelOnDisconnect(connection.scope):
        await asyncio.sleep(0)
    connection.cycle.disconnect()
    await asyncio.sleep(0)


async def test_another_cancellation_passes() -> None:
    """A block that something else cancels isn't taken for a disconnect."""
    connection = Connection()

    async def work() -> None:
        connection.cycle.task = asyncio.current_task()
        with CancelOnDisconnect(connection.scope):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_leaves_no_garbage() -> None:
    """The objects of a request are freed at its end, and don't wait for a garbage collection."""
    connection = Connection()
    cycle = connection.cycle
    del connection.cycle
    cycle.end_body()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        with CancelOnDisconnect(scope):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    cycle.task = asyncio.current_task()
    await cycle.run(app, set())
    freed = weakref.ref(cycle)
    gc.disable()
    del cycle
    gc.enable()
    assert freed() is None
