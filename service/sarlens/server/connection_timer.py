"""Limits of time of one connection: its heads, bodies, responses and pauses."""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from sarlens.errors import RequestTimeout
from sarlens.settings.server import ServerSettings

if TYPE_CHECKING:
    from sarlens.server.http_protocol import GatewayProtocol

_LINGER_S = 30.0
"""Longest time for which the gateway reads on after the last response, since a client may send before it reads."""


class Phase(Enum):
    """The event that a connection waits for."""

    NEW = auto()
    """The first byte of the first request."""
    HEAD = auto()
    """The rest of a head."""
    BODY = auto()
    """The rest of a body."""
    RESPONSE = auto()
    """The gateway."""
    IDLE = auto()
    """The next request."""
    CLOSE = auto()
    """The client, which still sends after the last response."""


class ProgressWindow:
    """Checks that a transfer moves at least ``min_bytes_per_s`` over each ``timeout_s`` seconds.

    If there are fewer bytes to move when the window begins, it must move these.
    """

    __slots__ = ("_min_bytes", "_moved", "_required", "_since", "_timeout_s")

    def __init__(self, timeout_s: float, min_bytes_per_s: int) -> None:
        self._timeout_s = timeout_s
        self._min_bytes = self._required = max(1, timeout_s * min_bytes_per_s)
        self._since = 0.0
        self._moved = 0

    def restart(self, now: float, moved: int, pending: float = inf) -> None:
        """Begin a window, with the number of bytes moved so far, and of those to move if it is known."""
        self._since, self._moved = now, moved
        self._required = min(self._min_bytes, pending)

    def is_stalled(self, now: float, moved: int, pending: float = inf) -> bool:
        """Whether the window ended before enough bytes moved; if they did, the next window begins."""
        if moved - self._moved >= self._required:
            self.restart(now, moved, pending)
            return False
        return now - self._since >= self._timeout_s


class ConnectionTimer:
    """Ends a connection that exceeds a limit of time, in periodic checks."""

    __slots__ = ("_connection", "_limits", "_phase", "_read_window", "_scope", "_since", "_write_window")

    def __init__(self, connection: GatewayProtocol, limits: ServerSettings) -> None:
        self._connection = connection
        self._limits = limits
        self._phase: Phase | None = None
        self._scope: object = None
        self._since = 0.0
        self._read_window = ProgressWindow(limits.read_timeout_s, limits.min_bytes_per_s)
        self._write_window = ProgressWindow(limits.write_timeout_s, limits.min_bytes_per_s)

    def check(self, now: float) -> None:
        """Check all limits at a time in seconds; the time of each phase begins with the first check that finds it."""
        connection = self._connection
        pending = connection.responses.bytes_pending
        sent = connection.responses.bytes_written - pending
        if not pending or self._phase is None:
            self._write_window.restart(now, sent, pending)
        elif self._write_window.is_stalled(now, sent, pending):
            connection.end("write_timeout", abort=True)
            return
        phase = connection.phase
        unsent = phase is Phase.CLOSE and pending
        if phase is not self._phase or connection.scope is not self._scope or unsent:
            self._phase, self._scope, self._since = phase, connection.scope, now
            self._read_window.restart(now, connection.bytes_received)
        elif phase is not Phase.RESPONSE:
            self._check_phase(phase, now)

    def _check_phase(self, phase: Phase, now: float) -> None:
        connection, limits, elapsed_s = self._connection, self._limits, now - self._since
        if phase is Phase.BODY:
            if elapsed_s >= limits.body_timeout_s or self._is_read_stalled(now):
                connection.time_out("body_timeout", RequestTimeout(_body_message(limits)))
        elif phase is Phase.HEAD and elapsed_s >= limits.head_timeout_s:
            message = f"The head of the request wasn't complete within {limits.head_timeout_s:g} s."
            connection.time_out("head_timeout", RequestTimeout(message))
        elif phase is Phase.NEW and elapsed_s >= limits.head_timeout_s:
            connection.end("head_timeout")
        elif phase is Phase.IDLE and elapsed_s >= limits.keepalive_timeout_s:
            connection.end("idle")
        elif phase is Phase.CLOSE and (elapsed_s >= _LINGER_S or self._is_read_stalled(now)):
            connection.end("linger", abort=True)

    def _is_read_stalled(self, now: float) -> bool:
        if self._connection.flow.read_paused:
            self._read_window.restart(now, self._connection.bytes_received)
        return self._read_window.is_stalled(now, self._connection.bytes_received)


def _body_message(limits: ServerSettings) -> str:
    return (
        f"The body of the request arrived too slowly: the gateway requires {limits.min_bytes_per_s} bytes a second "
        f"over {limits.read_timeout_s:g} s, and all of the body within {limits.body_timeout_s:g} s."
    )
