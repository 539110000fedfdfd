"""Limits of time of a connection, with the times of a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sarlens.server.connection_timer import ConnectionTimer, Phase, ProgressWindow
from sarlens.settings import ServerSettings


def test_a_window_requires_its_bytes() -> None:
    """With 10 bytes a second over 2 s, 20 bytes begin a new window, and 19 are too few after 2 s."""
    window = ProgressWindow(2.0, 10)
    window.restart(100.0, 0)
    assert not window.is_stalled(101.9, 19)
    assert not window.is_stalled(101.9, 20)
    assert not window.is_stalled(103.8, 39)
    assert window.is_stalled(103.9, 39)
    assert not window.is_stalled(103.9, 40)


@dataclass
class FakeConnection:
    """The state of a connection, and the limits that it exceeded."""

    phase: Phase = Phase.NEW
    scope: object = None
    bytes_received: int = 0
    flow: Any = field(default_factory=lambda: SimpleNamespace(read_paused=False))
    responses: Any = field(default_factory=lambda: SimpleNamespace(bytes_written=0, bytes_pending=0))
    ended: list[str] = field(default_factory=list)

    def end(self, reason: str, *, abort: bool = False) -> None:
        """Record the end."""
        self.ended.append(reason)

    def time_out(self, reason: str, error: object) -> None:
        """Record the timeout."""
        self.ended.append(reason)


def seconds_until_end(connection: FakeConnection, step: Callable[[float], None] = lambda now: None) -> float:
    """Seconds from the first check until the end of a connection, which is checked each second for 1,000 s."""
    timer = ConnectionTimer(connection, ServerSettings())  # type: ignore[arg-type]
    for second in range(1000):
        step(second)
        timer.check(5000.0 + second)
        if connection.ended:
            return second
    return -1


@pytest.mark.parametrize(
    ("phase", "reason", "seconds"),
    [
        (Phase.NEW, ["head_timeout"], 10),
        (Phase.HEAD, ["head_timeout"], 10),
        (Phase.BODY, ["body_timeout"], 10),
        (Phase.IDLE, ["idle"], 75),
        (Phase.CLOSE, ["linger"], 10),
        (Phase.RESPONSE, [], -1),
    ],
)
def test_each_phase_has_its_limit(phase: Phase, reason: list[str], seconds: float) -> None:
    """Without progress a head ends after 10 s, a body after 10 s, an idle connection after 75 s."""
    connection = FakeConnection(phase)
    assert (seconds_until_end(connection), connection.ended) == (seconds, reason)


@pytest.mark.parametrize(("phase", "limit_s"), [(Phase.BODY, 300), (Phase.CLOSE, 30)])
@pytest.mark.parametrize("bytes_per_s", [1000, 1024, 10**6])
def test_a_body_has_a_minimum_rate_and_a_total_limit(phase: Phase, limit_s: int, bytes_per_s: int) -> None:
    """A body below 1,024 bytes a second ends after 10 s, a faster one after 300 s, and after a response 30 s."""
    connection, seconds = FakeConnection(phase), 10 if bytes_per_s < 1024 else limit_s

    def receive(_: float) -> None:
        connection.bytes_received += bytes_per_s

    assert seconds_until_end(connection, receive) == seconds


def test_time_of_the_gateway_does_not_count() -> None:
    """While the gateway itself doesn't read a body, its rate isn't limited."""
    connection = FakeConnection(Phase.BODY, flow=SimpleNamespace(read_paused=True))
    assert seconds_until_end(connection) == 300


def test_a_slow_stream_to_a_distant_client_goes_on() -> None:
    """A stream of 200 bytes a second whose last second is always on the way has no limit; one that stops ends."""
    connection = FakeConnection(Phase.RESPONSE)
    connection.responses = SimpleNamespace(bytes_written=200, bytes_pending=200)

    def stream(_: float) -> None:
        connection.responses.bytes_written += 200

    assert seconds_until_end(connection, stream) == -1
    connection.responses.bytes_pending = 5000

    def stop(_: float) -> None:
        connection.responses.bytes_written += 200
        connection.responses.bytes_pending += 200

    assert seconds_until_end(connection, stop) == 30


@pytest.mark.parametrize(("bytes_per_s", "seconds"), [(0, 30), (1000, 30), (1024, -1)])
def test_a_reader_has_a_minimum_rate(bytes_per_s: int, seconds: float) -> None:
    """A client that reads a pending response below 1,024 bytes a second ends after 30 s."""
    connection = FakeConnection(Phase.RESPONSE)
    connection.responses = SimpleNamespace(bytes_written=2_000_000, bytes_pending=2_000_000)

    def read(_: float) -> None:
        connection.responses.bytes_pending -= bytes_per_s

    assert seconds_until_end(connection, read) == seconds
