"""Requests to a worker that serves the OpenAI API, byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sarlens.errors import SarlensError, Timeout, WorkerFailed
from sarlens.workers.clients.http import OpenAIHttpClient, WorkerTimeouts
from sarlens.workers.clients.http1.pool import http_connections
from support.workers.raw_worker import STREAM, Answer, Call, answer_once, chunk, into, raw_worker

PATH = "/v1/chat/completions"
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}


@asynccontextmanager
async def client_of(url: str, api_key: str | None = None) -> AsyncIterator[OpenAIHttpClient]:
    """Open a client whose timeouts are 0.2 s for events and 0.4 s for whole responses."""
    async with http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections:
        timeouts = WorkerTimeouts(0.2, 0.2, 0.4)
        yield OpenAIHttpClient(url, connections, timeouts, max_response_bytes=1000, api_key=api_key)


async def test_a_request_has_these_bytes() -> None:
    """The head has the length, the request id, the trace context and the key, and neither cookies nor an encoding."""
    async with raw_worker(answer_once) as worker, client_of(f"{worker.url}/base", "sk-1") as client:
        response = await client.send(PATH, b'{"a": 1}', "id-1", TRACE, stream=False)
        assert (response.status, response.first_chunk, response.is_stream) == (200, b"{}", False)
        assert worker.calls[0].body == b'{"a": 1}'
        assert worker.calls[0].head.decode() == (
            f"POST /base{PATH} HTTP/1.1\r\nHost: 127.0.0.1:{worker.port}\r\nAccept: */*\r\n"
            "Content-Type: application/json\r\nAuthorization: Bearer sk-1\r\n"
            f"traceparent: {TRACE['traceparent']}\r\ntracestate: a=b\r\n"
            "X-Request-Id: id-1\r\nContent-Length: 8\r\n\r\n"
        )


async def test_values_that_could_add_headers_are_rejected() -> None:
    """A key or a trace context with a line end is an error, before a byte is sent."""
    async with raw_worker(answer_once) as worker:
        with pytest.raises(ValueError, match="control characters"):
            async with client_of(worker.url, "sk-1\r\nX-Evil: 1"):
                pass
        async with client_of(worker.url) as client:
            with pytest.raises(ValueError, match="control characters"):
                await client.send(PATH, b"{}", "id-1", {"tracestate": "a=b\r\nX-Evil: 1"}, stream=False)
        assert not worker.calls


@pytest.mark.parametrize(
    ("pieces", "first"),
    [
        ([b"data: {}\n\ndata: 1\n\n"], b"data: {}\n\ndata: 1\n\n"),
        ([b": ping\n\n", b"\n\nda", b"ta: {}\n", b"\n", b"data: 2\n\n"], b": ping\n\n\n\ndata: {}\n\n"),
        ([b"data: {", b"}\r\n\r\n"], b"data: {}\r\n\r\n"),
        ([b"data: {}"], b"data: {}"),
    ],
)
async def test_a_stream_begins_with_its_first_event(pieces: list[bytes], first: bytes) -> None:
    """The first chunk has at least one whole event with data, or all of a stream that ends before; the rest follows."""

    async def answer(call: Call) -> None:
        await call.write(STREAM, *map(chunk, pieces), b"0\r\n\r\n")

    async with raw_worker(answer) as worker, client_of(worker.url) as client:
        response = await client.send(PATH, b"{}", "id-1", {}, stream=True)
        rest: list[bytes] = []
        assert response.is_stream
        assert response.first_chunk.startswith(first)
        assert not await response.forward(into(rest))
        assert response.first_chunk + b"".join(rest) == b"".join(pieces)


async def _pings(call: Call) -> None:
    await call.write(STREAM)
    while True:
        await call.write(chunk(b": ping\n\n"))


async def _empty(call: Call) -> None:
    await call.write(STREAM, b"0\r\n\r\n")


async def _many_comments(call: Call) -> None:
    await call.write(STREAM)
    while True:
        await call.write(chunk(b": " + b"x" * 2**18 + b"\n\n"))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (_pings, Timeout, "didn't respond in time"),
        (_empty, WorkerFailed, "without a response"),
        (_many_comments, SarlensError, "before its first event|in time"),
    ],
)
async def test_comments_are_not_an_answer(answer: Answer, error: type[SarlensError], message: str) -> None:
    """Comments don't extend the timeout of the first event; a stream without an event is an error, within 4 MiB."""
    async with raw_worker(answer) as worker, client_of(worker.url) as client:
        with pytest.raises(error, match=message):
            await client.send(PATH, b"{}", "id-1", {}, stream=True)
