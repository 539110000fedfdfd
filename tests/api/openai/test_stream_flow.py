"""Streams between a worker and a caller over raw sockets: framing, and a caller that reads slowly."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import CoroutineType

import pytest

from sarlens.settings import Settings, WorkerSettings
from support.gateway import gateway
from support.workers.raw_worker import STREAM, Answer, Call, RawWorker, chunk, raw_worker

BODY = b'{"model":"sarlens-nano","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
EVENT = b'data: {"model":"sarlens-nano","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
END = b"data: [DONE]\n\n"
_MODELS = b'{"data":[{"id":"sarlens-nano"}]}'


@asynccontextmanager
async def served(stream: Answer) -> AsyncIterator[tuple[int, RawWorker]]:
    """Start a gateway in front of a worker that answers completions with ``stream``; yield the gateway's port."""

    async def answer(call: Call) -> None:
        if call.head.startswith(b"POST"):
            await stream(call)
        else:
            call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_MODELS), _MODELS))

    async with raw_worker(answer) as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,), probe_interval_s=60, read_metrics=False))
        async with gateway(settings) as url:
            yield int(url.rpartition(":")[2]), worker


async def ask(port: int, version: bytes = b"1.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request for a stream, and read the head of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/chat/completions HTTP/%b\r\nHost: localhost\r\nContent-Length: %d\r\n" % (version, len(BODY))
    )
    writer.write(b"Content-Type: application/json\r\n\r\n" + BODY)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert (b"transfer-encoding: chunked" in head) == (version == b"1.1")
    return reader, writer


async def read_chunks(reader: asyncio.StreamReader) -> list[bytes]:
    """Read a chunked body."""
    chunks: list[bytes] = []
    while size := int(await reader.readline(), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    return chunks


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_each_event_is_forwarded_by_itself(version: bytes) -> None:
    """A caller gets each event as a chunk when the worker sends it; over HTTP/1.0, the body has no framing."""
    events = [EVENT % b"%d" % number for number in range(4)]

    async def stream(call: Call) -> None:
        call.writer.write(STREAM)
        for event in [*events, END]:
            call.writer.write(chunk(event))
            await arrived.acquire()
        call.writer.write(b"0\r\n\r\n")

    arrived = asyncio.Semaphore(0)
    async with served(stream) as (port, _), asyncio.timeout(30):
        reader, writer = await ask(port, version)
        for event in [*events, END]:
            if version == b"1.1":
                assert await reader.readline() == b"%x\r\n" % len(event)
            assert await reader.readexactly(len(event)) == event
            assert version == b"1.0" or await reader.readexactly(2) == b"\r\n"
            arrived.release()
        assert await reader.read(5) == (b"0\r\n\r\n" if version == b"1.1" else b"")
        writer.close()


async def test_a_slow_caller_holds_the_worker_back() -> None:
    """While a caller reads nothing, only buffers of bounded size fill; then it gets all events of 128 MB."""
    events, event = 2048, EVENT % (b"x" * 65_000)
    sent = 0

    async def stream(call: Call) -> None:
        nonlocal sent
        call.writer.write(STREAM)
        for _ in range(events):
            call.writer.write(chunk(event))
            await call.writer.drain()
            sent += 1
        call.writer.write(chunk(END) + b"0\r\n\r\n")

    async with served(stream) as (port, _), asyncio.timeout(120):
        reader, writer = await ask(port)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < events / 2
        body = b"".join(await read_chunks(reader))
        assert (sent, len(body)) == (events, events * len(event) + len(END))
        writer.close()


async def test_a_caller_that_leaves_ends_the_stream_of_the_worker() -> None:
    """After a caller disconnects, the worker's connection ends, also while the worker sends nothing."""

    async def stream(call: Call) -> None:
        await call.write(STREAM, chunk(EVENT % b"a"), chunk(EVENT % b"b"))

    async with served(stream) as (port, worker), asyncio.timeout(30):
        reader, writer = await ask(port)
        await reader.readexactly(2 * len(EVENT))
        before = worker.ended
        writer.close()
        while worker.ended == before:
            await asyncio.sleep(0.01)


async def test_an_aborted_stream_leaves_no_garbage() -> None:
    """Ten callers that leave in the middle of a stream leave no object of the gateway to the garbage collector."""

    async def stream(call: Call) -> None:
        call.writer.write(STREAM + chunk(EVENT % b"1"))
        await asyncio.Event().wait()

    async def abort(port: int) -> None:
        reader, writer = await ask(port)
        await reader.readline()
        writer.transport.abort()
        while any("RequestCycle.run" in repr(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)

    async with served(stream) as (port, _):
        await abort(port)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(10):
                await abort(port)
            gc.collect()
            found = [type(one) for one in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    kinds = Counter(kind.__name__ for kind in found if kind.__module__.startswith("sarlens"))
    assert kinds + Counter(kind.__name__ for kind in found if kind in {asyncio.Task, CoroutineType}) == {}
