"""Slow heads, bodies and readers, and idle clients, on raw sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest
import uvloop

from sarlens.settings import ServerSettings
from support.raw_http import HOST, RawClient, RecordingApp, http_server, wait_for

LIMITS = ServerSettings(
    head_timeout_s=0.2,
    keepalive_timeout_s=0.4,
    body_timeout_s=0.6,
    read_timeout_s=0.2,
    write_timeout_s=0.2,
    min_bytes_per_s=1000,
)
POST = b"POST /v1/x HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[tuple[RecordingApp, int]]:
    """A server with short limits and each kind of event loop, and its port."""
    app = RecordingApp()
    with http_server(app, LIMITS, request.param) as port:
        yield app, port


def assert_timed_out(client: RawClient) -> None:
    """The response is 408 in the format of the error table, and the connection ends."""
    response = client.response()
    assert (response.status, json.loads(response.body)["error"]["code"]) == (408, "request_timeout")
    assert response.headers["connection"] == "close"
    assert client.at_end()


@pytest.mark.parametrize("body", [b"Content-Length: 67108864\r\n\r\nx", CHUNKED + b"1\r\nx\r\n", CHUNKED])
def test_a_body_that_stalls_is_408(app: RecordingApp, port: int, body: bytes) -> None:
    """A body without a byte for the read timeout is 408 and isn't delivered, with a length or in chunks."""
    with RawClient(port) as client:
        client.send(POST + body)
        assert_timed_out(client)
    assert (app.bodies, app.closed("body_timeout")) == ([], 1)


@pytest.mark.parametrize("framing", [b"Content-Length: 10000\r\n\r\n", CHUNKED])
def test_a_body_that_trickles_is_408(app: RecordingApp, port: int, framing: bytes) -> None:
    """A body that arrives byte by byte below the minimum rate is 408."""
    piece = b"1\r\nx\r\n" if framing is CHUNKED else b"x"
    with RawClient(port) as client, trickle(client, POST + framing, piece):
        assert_timed_out(client)
    assert (app.bodies, app.closed("body_timeout")) == ([], 1)


def test_a_body_above_the_minimum_rate_has_a_total_limit(app: RecordingApp, port: int) -> None:
    """A body that arrives at ten times the minimum rate without end is 408 at the limit of its total time."""
    with RawClient(port) as client, trickle(client, POST + b"Content-Length: 67108864\r\n\r\n", b"x" * 200):
        assert_timed_out(client)
    assert app.bodies == []


@pytest.mark.parametrize("pieces", [[b"G"], [b"GET / HTTP/1.1\r\n", HOST, b"X: "], [POST[:-1]]])
def test_a_head_that_stalls_is_408(app: RecordingApp, port: int, pieces: list[bytes]) -> None:
    """An incomplete head is 408 after the head timeout."""
    with RawClient(port) as client:
        client.send(*pieces)
        assert_timed_out(client)
    assert (app.scopes, app.closed("head_timeout")) == ([], 1)


def test_a_head_in_single_bytes_is_408(app: RecordingApp, port: int) -> None:
    """Further bytes of a head don't extend its time, also for the second request of a connection."""
    with RawClient(port) as client:
        client.send(b"GET /v1/x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.response().body == b"/v1/x 0"
        with trickle(client, b"GET / HTTP/1.1\r\n" + HOST, b"X"):
            assert_timed_out(client)
    assert (len(app.scopes), app.closed("head_timeout")) == (1, 1)


def test_a_silent_connection_is_closed(app: RecordingApp, port: int) -> None:
    """A connection without a byte is closed without a response after the head timeout."""
    with RawClient(port) as client:
        assert client.at_end()
    assert app.closed("head_timeout") == 1


def test_an_idle_connection_is_closed(app: RecordingApp, port: int) -> None:
    """A connection is closed after the keep-alive timeout, also if the client sends empty lines."""
    with RawClient(port) as client:
        client.send(b"GET /v1/x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.response().status == 200
        with trickle(client, b"", b"\r\n"):
            assert client.at_end()
    assert app.closed("idle") == 1


def test_a_response_may_take_longer_than_all_limits(app: RecordingApp, port: int) -> None:
    """A request whose body is complete has no limit of time in the server."""
    with RawClient(port) as client:
        client.send(b"GET /hang HTTP/1.1\r\n" + HOST + b"\r\n")
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            client.response()
        assert app.disconnects == 0
    wait_for(lambda: app.disconnects == 1)


@pytest.mark.parametrize("path", [b"/stream/1000", b"/whole/50000000"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_client_that_stops_reading_is_disconnected(app: RecordingApp, port: int, path: bytes, version: bytes) -> None:
    """A client that doesn't read a stream or a whole response loses its connection after the write timeout."""
    with RawClient(port, receive_bytes=4096) as client:
        client.send(b"GET " + path + b" HTTP/" + version + b"\r\n" + HOST + b"\r\n")
        wait_for(lambda: app.closed("write_timeout") == 1)
        wait_for(lambda: app.disconnects == path.startswith(b"/stream"))
    wait_for(lambda: app.metrics.registry.get_sample_value("sarlens_http_connections") == 0)


def test_bytes_in_the_buffer_of_the_system_count_as_unread(app: RecordingApp, port: int) -> None:
    """A client that doesn't read the 300 kB of a response is disconnected, although the system took all of them."""
    with RawClient(port, receive_bytes=4096) as client:
        client.send(b"GET /whole/300000 HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_for(lambda: app.closed("write_timeout") + app.closed("idle") == 1)
        assert app.closed("write_timeout") == 1


def test_a_client_that_reads_too_slowly_is_disconnected(app: RecordingApp, port: int) -> None:
    """A client that reads ten bytes a second of a stream loses its connection, also with a request behind it."""
    with RawClient(port, receive_bytes=4096) as client:
        client.send(b"GET /stream/1000 HTTP/1.1\r\n" + HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
        while not app.closed("write_timeout"):
            client.socket.recv(1)
            time.sleep(0.1)
    wait_for(lambda: app.disconnects == 1)
    assert len(app.scopes) == 1


def test_a_client_that_goes_on_sending_receives_the_error(app: RecordingApp, port: int) -> None:
    """A client that sends 20 MB after an invalid head receives the error before the connection ends."""
    with RawClient(port) as client:
        client.send(b"GET /v1/x HTTP/1.1\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 2**20)
        assert client.response().status == 400
        assert client.at_end()


class trickle:  # noqa: N801  a context manager with the name of a function
    """Sends a head, and then a piece every 20 ms until the block or the connection ends."""

    def __init__(self, client: RawClient, head: bytes, piece: bytes) -> None:
        self._client, self._head, self._piece = client, head, piece
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _send(self) -> None:
        try:
            self._client.send(self._head)
            while not self._done.wait(0.02):
                self._client.send(self._piece)
        except OSError:
            pass
