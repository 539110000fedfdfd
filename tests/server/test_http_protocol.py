"""HTTP connections on raw sockets, with the event loop of asyncio and with uvloop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
import uvloop

from sarlens.settings import ServerSettings
from support.raw_http import HOST, RawClient, RecordingApp, http_server, wait_for

LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"], scope="module")
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Each kind of event loop."""
    factory: LoopFactory = request.param
    return factory


@pytest.fixture(scope="module")
def server(loop_factory: LoopFactory) -> Iterator[tuple[RecordingApp, int]]:
    """A server with the default limits, and its port."""
    app = RecordingApp()
    with http_server(app, ServerSettings(), loop_factory) as port:
        yield app, port


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
BODIES = {
    "length": (b"Content-Length: 11\r\n\r\n", b"hello", b" world"),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"6\r\n world\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    "upgrade",
    [
        H2C,
        b"connection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2, x/1\r\n",
        b"Upgrade: h2c\r\n",
    ],
)
def test_an_upgrade_is_ignored_and_the_body_arrives(
    app: RecordingApp, port: int, upgrade: bytes, split: bool, body: str
) -> None:
    """A request with an upgrade is answered as HTTP/1.1 with all of its body; the next one on the connection too."""
    pieces = (b"POST /first HTTP/1.1\r\n", HOST, upgrade, *BODIES[body], b"GET /second HTTP/1.1\r\n", HOST + b"\r\n")
    with RawClient(port) as client:
        client.send(*(pieces if split else [b"".join(pieces)]))
        first, second = client.response(), client.response()
    assert (first.version, first.status, first.body) == ("HTTP/1.1", 200, b"/first 11")
    assert second.body == b"/second 0"
    assert app.bodies == [b"hello world", b""]


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """Sixty pipelined requests, in pieces of 7 bytes, are answered in their order on one connection."""
    data = b"".join(b"POST /%d HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc" % (number, HOST) for number in range(60))
    with RawClient(port) as client:
        client.send(*(data[start : start + 7] for start in range(0, len(data), 7)))
        assert [client.response().body for _ in range(60)] == [b"/%d 3" % number for number in range(60)]


def test_too_many_pipelined_requests_end_the_connection(app: RecordingApp, port: int) -> None:
    """A connection with more than 1,024 requests behind one in progress is closed, and that one ends."""
    with RawClient(port) as client:
        client.send(b"GET /hang HTTP/1.1\r\n" + HOST + b"\r\n" + 2000 * (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"))
        assert client.at_end()
    wait_for(lambda: app.disconnects == 1)
    assert [scope["path"] for scope in app.scopes] == ["/hang"]
    assert app.closed("pipeline") >= 1


def test_a_disconnect_ends_a_request_with_others_behind_it(app: RecordingApp, port: int) -> None:
    """If a client disconnects, the running request learns of it although another one was pipelined."""
    with RawClient(port) as client:
        client.send(b"GET /hang HTTP/1.1\r\n" + HOST + b"\r\nGET /next HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_for(lambda: bool(app.scopes))
    wait_for(lambda: app.disconnects == 1)
    assert [scope["path"] for scope in app.scopes] == ["/hang"]


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host:\r\n",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nhost: b\r\n",
        b"Host: a b\r\n",
        b"Host: user@a\r\n",
        b"Host: [\r\n",
        b"Host: [::1\r\n",
        b"Host: [1::2::3]\r\n",
        b"Host: a:b\r\n",
        b"Host: a:65536\r\n",
        b"Host: a:1:2\r\n",
        b"Host: a/b\r\n",
        b"Host: a,b\r\n",
        b"Host: <script>\r\n",
        b"Host: \xc3\xa4\r\n",
        b"Host: " + b"a" * 256 + b"\r\n",
    ],
)
def test_an_invalid_host_is_rejected(app: RecordingApp, port: int, hosts: bytes) -> None:
    """A missing, repeated or malformed Host is 400, and the connection ends."""
    with RawClient(port) as client:
        client.send(b"GET /v1/x HTTP/1.1\r\n" + hosts + b"\r\n")
        response = client.response()
        assert (response.status, json.loads(response.body)["error"]["code"]) == (400, "bad_request")
        assert response.headers["connection"] == "close"
        assert client.at_end()
    assert not app.scopes


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: a-b_c.example.com.:8080\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_valid_hosts_are_served(port: int, request_head: bytes) -> None:
    """Names, addresses and ports are valid, and HTTP/1.0 needs no Host."""
    with RawClient(port) as client:
        client.send(request_head)
        assert client.response().status == 200


def test_only_hosts_of_the_list_are_served(app: RecordingApp, loop_factory: LoopFactory) -> None:
    """With a list of hosts others are 400; the host of an absolute target replaces the header."""
    served = {b"a.example": 200, b"A.Example:80": 200, b"x.b.example": 200, b"127.0.0.1": 200, b"c.example": 400}
    with http_server(app, ServerSettings(hosts=("a.example", "*.b.example")), loop_factory) as port:
        for host, status in served.items():
            with RawClient(port) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
                assert client.response().status == status
        with RawClient(port) as client:
            client.send(b"GET http://A.example:81/x?y=1 HTTP/1.1\r\nHost: c.example\r\n\r\n")
            assert client.response().body == b"/x 0"
            client.send(b"GET http://c.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert client.response().status == 400
    assert dict(app.scopes[-1]["headers"])[b"host"] == b"A.example:81"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/x HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /v1/x HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 12_000 + b"\r\n",
        b"GET /v1/x HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 300_000,
    ],
)
@pytest.mark.parametrize("before", [b"", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"])
def test_a_large_head_is_rejected(app: RecordingApp, port: int, head: bytes, before: bytes) -> None:
    """More than 64 KiB of headers are 431, after the response to a request before them."""
    with RawClient(port) as client:
        client.send(before + head)
        if before:
            assert client.response().body == b"/ 1"
        response = client.response()
        assert (response.status, json.loads(response.body)["error"]["code"]) == (431, "head_too_large")
        assert response.headers["connection"] == "close"
    assert len(app.scopes) == bool(before)
    assert app.closed("head_size") == 1


def test_a_head_below_the_limit_is_served(port: int) -> None:
    """Heads of 60,000 bytes are answered, twice on one connection, also after 100,000 bytes of body."""
    head = HOST + b"X: " + b"x" * 60_000 + b"\r\n"
    with RawClient(port) as client:
        client.send(b"POST / HTTP/1.1\r\n" + head + b"Content-Length: 100000\r\n\r\n" + b"y" * 100_000)
        client.send(b"GET / HTTP/1.1\r\n" + head, b"\r\n")
        assert [client.response().body, client.response().body] == [b"/ 100000", b"/ 0"]


@pytest.mark.parametrize(
    "body",
    [
        b"1;" + b"x" * 300_000,
        b"1\r\nx\r\n0\r\n" + b"trailer: " + b"x" * 300_000,
        b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * 100_000,
        b"x\r\n",
    ],
)
def test_chunks_without_data_are_rejected(app: RecordingApp, port: int, body: bytes) -> None:
    """Trailers and chunk extensions above 64 KiB, and a malformed chunk, are 400, and the body isn't delivered."""
    with RawClient(port) as client:
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", body[:3], body[3:])
        response = client.response()
        assert (response.status, response.headers["connection"]) == (400, "close")
    assert not app.bodies


def test_small_chunks_and_trailers_are_served(app: RecordingApp, port: int) -> None:
    """A body of 50,000 chunks of one byte is complete, and its trailers aren't headers of the request."""
    with RawClient(port) as client:
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        client.send(b"1\r\nx\r\n" * 50_000, b"0\r\nAuthorization: Bearer late\r\n\r\n")
        assert client.response().body == b"/ 50000"
        client.send(b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.response().body == b"/next 0"
    assert b"authorization" not in dict(app.scopes[0]["headers"])


@pytest.mark.parametrize("target", [b"example.com:443", b"/v1/chat/completions"])
def test_connect_is_rejected(port: int, target: bytes) -> None:
    """CONNECT is 405 with the methods of the gateway."""
    with RawClient(port) as client:
        client.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        response = client.response()
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD, POST, DELETE")


def test_a_trusted_proxy_states_client_and_scheme(app: RecordingApp, port: int) -> None:
    """Headers of a proxy on this machine are the client and the scheme of that request, and not of the next one."""
    forwarded = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
    with RawClient(port) as client:
        client.send(b"GET /a HTTP/1.1\r\n" + HOST + forwarded + b"\r\nGET /b HTTP/1.1\r\n" + HOST + b"\r\n")
        assert [client.response().body, client.response().body] == [b"/a 0", b"/b 0"]
    first, second = app.scopes
    assert (first["client"], first["scheme"]) == (("203.0.113.9", 0), "https")
    assert (second["client"][0], second["scheme"]) == ("127.0.0.1", "http")


def test_garbage_is_rejected_after_the_requests_before_it(port: int) -> None:
    """Bytes that aren't HTTP are 400 after the response to a complete request."""
    with RawClient(port) as client:
        client.send(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n\x16\x03\x01\x02\x00\r\n\r\n")
        assert client.response().body == b"/a 0"
        assert client.response().status == 400
        assert client.at_end()


def test_http_1_0_streams_end_with_the_connection(port: int) -> None:
    """A stream to an HTTP/1.0 client has no chunks and ends with the connection."""
    with RawClient(port) as client:
        client.send(b"GET /stream/3 HTTP/1.0\r\n\r\n")
        response = client.response()
    assert "transfer-encoding" not in response.headers
    assert response.headers["connection"] == "close"
    assert response.body == b"x" * 3 * 65536
    with RawClient(port) as client:
        client.send(b"GET /stream/3 HTTP/1.1\r\n" + HOST + b"\r\n")
        response = client.response()
    assert (response.headers["transfer-encoding"], len(response.body)) == ("chunked", 3 * 65536)


def test_continue_is_sent_before_the_body(port: int) -> None:
    """A client that expects 100 receives it before it sends the body."""
    with RawClient(port) as client:
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.response(head=True).status == 100
        client.send(b"ab")
        assert client.response().body == b"/ 2"
