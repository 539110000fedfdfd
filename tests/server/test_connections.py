"""The number of connections, and the file descriptors of a process."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog.testing
import uvloop

from sarlens.observability.metrics import Metrics
from sarlens.server.connections import Connections, default_max_connections, raise_file_limit
from sarlens.settings import ServerSettings
from support.raw_http import HOST, RawClient, RecordingApp, http_server, wait_for

GET, HANG = (b"GET %b HTTP/1.1\r\n" % path + HOST + b"\r\n" for path in (b"/v1/x", b"/hang"))


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[RecordingApp, int]]:
    """A server with at most three connections and each kind of event loop, and its port."""
    app = RecordingApp()
    with http_server(app, ServerSettings(max_connections=3), request.param) as port:
        yield app, port


def test_a_new_connection_replaces_the_longest_waiting_one(server: tuple[RecordingApp, int]) -> None:
    """Of three connections, those that wait longest for a request make room for a fourth and a fifth one."""
    app, port = server
    with structlog.testing.capture_logs() as logs, ExitStack() as stack:
        first, second, third = (stack.enter_context(RawClient(port)) for _ in range(3))
        wait_for(lambda: app.metrics.registry.get_sample_value("sarlens_http_connections") == 3)
        second.send(b"GET / HTTP/1.1\r\n")  # an incomplete head
        for client in (first, third):
            client.send(GET)
            assert client.response().status == 200
            time.sleep(0.05)  # the connection waits for a request again shortly after its response
        for ended in (second, first):
            another = stack.enter_context(RawClient(port))
            another.send(GET)
            assert another.response().status == 200
            assert ended.at_end()
        third.send(GET)
        assert third.response().status == 200
    assert app.closed("max_connections") == 2
    assert [line["event"] for line in logs] == ["the limit of connections is reached"]


def test_a_connection_is_rejected_if_all_have_a_request(server: tuple[RecordingApp, int]) -> None:
    """If three connections have a request in progress, a fourth one is 503 and ends; they aren't closed."""
    app, port = server
    with ExitStack() as stack:
        busy = [stack.enter_context(RawClient(port)) for _ in range(3)]
        for client in busy:
            client.send(HANG)
        wait_for(lambda: len(app.bodies) == 3)
        with RawClient(port) as another:
            response = another.response()
            assert (response.status, json.loads(response.body)["error"]["code"]) == (503, "overloaded")
            assert response.headers["retry-after"] == "1"
            assert another.at_end()
        assert app.disconnects == 0
        assert app.metrics.registry.get_sample_value("sarlens_http_connections") == 3
    wait_for(lambda: app.metrics.registry.get_sample_value("sarlens_http_connections") == 0)
    wait_for(lambda: app.disconnects == 3)


def test_the_default_is_half_of_the_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default limit is half of the open files, at most 16,384."""
    limits = {64: 32, 1024: 512, 10**6: 16_384, resource.RLIM_INFINITY: 16_384}
    for soft, connections in limits.items():
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert default_max_connections() == connections


def test_the_soft_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit of open files becomes the hard one."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    raise_file_limit()
    assert limits == [(4096, 4096)]


def test_time_without_checks_counts_little() -> None:
    """After 100 s without a check, for example with a stopped process, connections are at most 2 s older."""
    connections = Connections(ServerSettings(), Metrics())
    times: list[float] = []

    class Timer:
        def check(self, now: float) -> None:
            times.append(now)

    class Connection:
        timer = Timer()

    connections.add(cast("object", Connection()))  # type: ignore[arg-type]
    for time_s in (1000.0, 1000.1, 1001.0, 1101.0, 1102.0):
        connections.check(time_s)
    assert [later - earlier for earlier, later in pairwise(times)] == [1.0, 2.0, 1.0]


def test_a_tenth_of_the_connections_is_checked_at_a_time() -> None:
    """Ten times a second, a tenth of 1,000 connections is checked, each about once a second; removed ones aren't."""
    connections = Connections(ServerSettings(), Metrics())
    checks: Counter[int] = Counter()

    class Connection:
        def __init__(self, number: int) -> None:
            self.timer = SimpleNamespace(check=lambda now: checks.update((number,)))

    opened = [cast("Any", Connection(number)) for number in range(1000)]
    for connection in opened:
        connections.add(connection)
    connections.check(999.9)
    checks.clear()
    for tick in range(50):
        if tick == 25:  # in the middle of a round
            for connection in opened[500:]:
                connections.remove(connection)
            of_removed = {number: checks[number] for number in range(500, 1000)}
        before = checks.total()
        connections.check(1000.0 + tick / 10)
        assert checks.total() - before <= 101
    assert {checks[number] for number in range(500)} <= {4, 5}
    assert {number: checks[number] for number in range(500, 1000)} == of_removed


FULL = """
import resource, sys, time
sys.path.insert(0, sys.argv[1])
import uvloop
from sarlens.settings import ServerSettings
from support.raw_http import RecordingApp, http_server
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
app = RecordingApp()
with http_server(app, ServerSettings(max_connections=1000), uvloop.new_event_loop) as port:
    print(port, flush=True)
    began = time.process_time()
    sys.stdin.readline()
    print(time.process_time() - began, app.closed("max_files"))
"""


@pytest.mark.slow
def test_a_process_without_file_descriptors_closes_idle_connections() -> None:
    """With 64 open files, 80 idle connections neither stop the server nor make it spin, and are logged once."""
    command = [sys.executable, "-c", FULL, str(Path(__file__).parents[1])]
    with (
        ExitStack() as stack,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        assert process.stdin
        assert process.stdout
        port = int(process.stdout.readline())
        for _ in range(80):
            stack.enter_context(RawClient(port))
        wait_for(lambda: answers(port))
        output = process.communicate(b"\n")[0].decode()
    busy_s, closed = map(float, output.splitlines()[-1].split())
    assert busy_s < 1
    assert closed >= 1
    assert output.count("the limit of open files is reached") == 1


def answers(port: int) -> bool:
    """Whether a new connection is served."""
    try:
        with RawClient(port) as client:
            client.send(GET)
            return bool(client.response().status == 200)
    except (OSError, ValueError):
        return False
