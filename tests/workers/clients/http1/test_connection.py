"""Responses on a connection to a worker, with h11 as the oracle of HTTP/1.1."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import SarlensError, WorkerFailed
from sarlens.workers.clients.base import StaleConnection
from sarlens.workers.clients.http1.connection import MAX_HEAD_BYTES
from support.memory_transport import Exchange

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Outcome(NamedTuple):
    """A complete response, and whether its connection can carry another request."""

    status: int
    body: bytes
    reusable: bool


async def receive(pieces: Sequence[bytes], *, end: bool = False) -> Outcome:
    """Return the response in these pieces; raise its error."""
    exchange = Exchange().feed(pieces, end=end)
    async with asyncio.timeout(0):
        await exchange.response.wait()
    return Outcome(exchange.response.status, exchange.response.take(), exchange.is_reusable)


def by_client(pieces: Sequence[bytes], *, end: bool = False) -> Outcome | None:
    """Return the response as the client reads it; None if it rejects it, or isn't at its end."""
    try:
        return LOOP.run_until_complete(receive(pieces, end=end))
    except (SarlensError, TimeoutError):
        return None


LOOP = asyncio.new_event_loop()


def by_h11(data: bytes, *, end: bool = False) -> Outcome | None:
    """Return the response as h11 reads it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "worker")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        if end:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
    surplus, _ = connection.trailing_data
    reusable = connection.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} and not surplus.strip(b"\r\n")
    return Outcome(status, body, reusable)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return the pieces between cuts, which wrap around the end."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in zip([0, *ends], [*ends, len(data)], strict=True)]


CUTS = st.lists(st.integers(0, 10_000), max_size=6)
NAMES = st.sampled_from(["Content-Type", "Server", "X-A", "x-b", "Connection-Count", "Retry-After"])
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, int, bytes, bool]:
    """Draw a valid response: its bytes, status and body, and whether the connection stays open."""
    status = draw(st.sampled_from([200, 201, 204, 299, 304, 307, 400, 404, 429, 500, 503, 599]))
    body = b"" if status in {204, 304} else draw(st.binary(max_size=200))
    fields = [
        f"{draw(NAMES)}:{draw(st.sampled_from(['', ' ', '  ']))}{draw(VALUES)}" for _ in range(draw(st.integers(0, 4)))
    ]
    framing, stays = draw(st.sampled_from(["length", "chunked", "end"])), draw(st.booleans())
    if status in {204, 304}:
        payload = b""
    elif framing == "length":
        fields.append(f"content-length: {len(body)}")
        payload = body
    elif framing == "chunked":
        fields.append("Transfer-Encoding: chunked")
        pieces = [piece for piece in cut(body, draw(CUTS)) if piece]
        extension = draw(st.sampled_from([b"", b";a=b", b";name"]))
        payload = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
        payload += b"0\r\n" + draw(st.sampled_from([b"", b"X-Sum: 1\r\n"])) + b"\r\n"
    else:
        payload, stays = body, False
    if not stays:
        fields.append("Connection: close")
    early = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
    )
    head = f"HTTP/1.1 {status} {draw(st.sampled_from(['OK', '', 'Not Found']))}\r\n" + "".join(
        f"{each}\r\n" for each in fields
    )
    return early + head.encode() + b"\r\n" + payload, status, body, stays


@given(responses(), CUTS)
def test_a_valid_response_is_read_as_it_was_sent(response: tuple[bytes, int, bytes, bool], cuts: list[int]) -> None:
    """Status, body and the state of the connection are those that the worker sent, wherever the network cuts."""
    data, status, body, stays = response
    end = not stays
    assert by_client(cut(data, cuts), end=end) == by_h11(data, end=end) == (status, body, stays)


EVIL = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\xff", b":", b";", b",", b"-", b"+", b"0", b"1", b"5",
        b"f", b"F", b"0x", b"ffffffffffffffff", b"10000000000000000", b"99999999999999999999", b"-1",
        b"0\r\n\r\n", b"5\r\nhello\r\n", b"Content-Length: 5\r\n", b"Content-Length: 3\r\n",
        b"content-length:\r\n", b"Content-Length: 5, 5\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding : chunked\r\n", b"Connection: close\r\n",
        b"Connection: keep-alive\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b" folded\r\n", b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"204", b"304", b"100", b"099", b"1000", b"RTSP/1.0 200 OK\r\n",
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a response that was damaged in a few places."""
    data = draw(responses())[0]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 7])))
        data = data[:start] + draw(EVIL) + data[stop:]
    return data


def only_h11_rejects(data: bytes) -> bool:
    """Return whether a response has a harmless fault that llhttp ignores.

    These are control characters in the reason, and blank lines before the head that follows an informational one.
    """
    lines = [line for line in data.split(b"\r\n") if line.startswith(b"HTTP/")]
    control = any(byte < 32 or byte == 127 for line in lines for byte in line)
    return control or re.search(rb"\r\n\r\n[\r\n]+HTTP/", data) is not None


@given(damaged(), CUTS, st.booleans())
def test_what_the_client_accepts_h11_reads_alike(data: bytes, cuts: list[int], end: bool) -> None:
    """The client accepts no damaged response that h11 rejects or reads in another way, wherever the network cuts."""
    whole = by_client([data], end=end)
    pieces = by_client(cut(data, cuts), end=end)
    assert (whole and whole[:2]) == (pieces and pieces[:2])
    if whole is not None and not only_h11_rejects(data):
        oracle = by_h11(data, end=end)
        assert oracle is not None
        assert oracle[:2] == whole[:2]
        assert oracle.reusable >= whole.reusable


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\nhi",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: -2\r\n\r\nhi",
        OK + b"Content-Length: +2\r\n\r\nhi",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
        OK + b"X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"X-A : a\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"X-A: a\nContent-Length: 2\n\nhi",
        CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n",
        CHUNKED + b"10000000000000000\r\nhi",
        CHUNKED + b"2\r\nhi?!0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 1000 No\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_ambiguous_framing_is_rejected(data: bytes) -> None:
    """A response whose length two parsers could read differently fails at once, and its connection ends."""
    exchange = Exchange().feed([data], end=False)
    with pytest.raises(WorkerFailed, match=r"isn't valid HTTP/1\.1|transfer encoding"):
        await exchange.response.wait()
    assert (exchange.transport.aborted, exchange.is_reusable, exchange.removed) == (True, False, 1)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_ends_with_its_head(status: int) -> None:
    """A response with status 204 or 304 has no body, whatever length its head states, and the connection is kept."""
    head = f"HTTP/1.1 {status} None\r\nContent-Length: 5\r\n\r\n".encode()
    assert await receive([head]) == (status, b"", True)


@pytest.mark.parametrize("surplus", [b"xx", OK, OK + b"Content-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("later", [False, True])
async def test_bytes_after_a_response_end_the_connection(surplus: bytes, later: bool) -> None:
    """The response stands, but no other request is sent behind bytes that the gateway hasn't requested."""
    answer = OK + b"Content-Length: 2\r\n\r\nhi"
    exchange = Exchange().feed([answer, surplus] if later else [answer + surplus], end=False)
    await exchange.response.wait()
    assert (exchange.response.take(), exchange.is_reusable, exchange.transport.aborted) == (b"hi", False, True)


async def test_a_response_before_the_end_of_the_request_ends_the_connection() -> None:
    """If the worker responds while it hasn't read the whole request, the rest isn't taken for the next one."""
    exchange = Exchange()
    exchange.transport.unsent_bytes = 1
    exchange.feed([OK + b"Content-Length: 2\r\n\r\nhi"], end=False)
    await exchange.response.wait()
    assert (exchange.response.take(), exchange.is_reusable) == (b"hi", False)


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_a_long_body_is_sent_in_pieces(kind: type[bytes] | type[bytearray]) -> None:
    """A body over 256 KiB waits while the worker doesn't keep up, and a response before its end ends the connection."""
    body, answer = kind(bytes(range(256)) * 4096), OK + b"Content-Length: 2\r\n\r\nhi"
    for responds_early in (False, True):
        exchange = Exchange().feed([answer], end=False)
        transport = exchange.transport
        transport.sent, transport.pauses_after = b"", 3
        exchange.request(body)
        assert len(transport.sent) == 18 + 2 * 2**18
        if not responds_early:
            exchange.connection.resume_writing()
            assert transport.sent[18:] == body
        exchange.feed([answer], end=False)
        await exchange.response.wait()
        assert (exchange.response.take(), exchange.is_reusable) == (b"hi", not responds_early)


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        ("informational", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        ("header", b"X-A: " + b"a" * 995 + b"\r\n"),
        ("long header", b"a" * 1000),
        ("extension", b"a" * 1000),
        ("trailer", b"X-A: " + b"a" * 995 + b"\r\n"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
async def test_what_isn_t_the_body_is_bounded(kind: str, piece: bytes, at_once: bool) -> None:
    """Heads, chunk extensions and trailers that don't end fail after 64 KiB, in small pieces or in one."""
    start = {
        "informational": b"",
        "header": OK,
        "long header": OK + b"X-A: ",
        "extension": CHUNKED + b"2;",
        "trailer": CHUNKED + b"2\r\nhi\r\n0\r\n",
    }[kind]
    exchange, count = Exchange(), MAX_HEAD_BYTES // len(piece) + 2
    exchange.feed([start, *[piece] * (count - 4)], end=False)
    assert not exchange.transport.aborted
    exchange.feed([piece * count] if at_once else [piece] * count, end=False)
    with pytest.raises(WorkerFailed, match="limit of 65536 bytes"):
        await exchange.response.wait()
    assert exchange.transport.aborted


async def test_a_head_in_one_piece_is_bounded() -> None:
    """A complete head of more than 64 KiB is rejected even if it arrives at once."""
    with pytest.raises(WorkerFailed, match="limit of 65536 bytes"):
        await receive([OK + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 4) + b"Content-Length: 0\r\n\r\n"])
    assert await receive([OK + b"X-A: b\r\n" * 100 + b"Content-Length: 0\r\n\r\n"]) == (200, b"", True)


@pytest.mark.parametrize(
    ("received", "reused", "error"),
    [
        (b"", False, WorkerFailed),
        (b"", True, StaleConnection),
        (b"H", True, WorkerFailed),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True, WorkerFailed),
        (OK + b"Content-Length: 2\r\n\r\nh", True, WorkerFailed),
        (CHUNKED + b"2\r\nhi\r\n", True, WorkerFailed),
    ],
)
async def test_only_a_reused_connection_without_a_byte_is_stale(
    received: bytes, reused: bool, error: type[WorkerFailed]
) -> None:
    """A request may be sent again only if its connection was reused, and ended before the first byte."""
    exchange = Exchange()
    if reused:
        exchange.feed([OK + b"Content-Length: 2\r\n\r\nhi"], end=False)
        assert exchange.response.take() == b"hi"
        exchange.request()
    exchange.feed([received], end=True)
    with pytest.raises(WorkerFailed) as failure:
        await exchange.response.wait()
    assert type(failure.value) is error


async def test_a_body_that_ends_with_the_connection_needs_a_clean_end() -> None:
    """Without a length, the end of the connection ends the body; a reset doesn't."""
    assert await receive([OK + b"\r\nhi", b" there"], end=True) == (200, b"hi there", False)
    exchange = Exchange().feed([OK + b"\r\nhi"], end=False)
    exchange.connection.connection_lost(ConnectionResetError())
    with pytest.raises(WorkerFailed, match="in the middle"):
        await exchange.response.wait()
