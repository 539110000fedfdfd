"""The HTTP connections of a process, their number and their checks."""

from __future__ import annotations

import errno
import os
import resource
from itertools import islice
from math import ceil
from secrets import token_hex
from typing import TYPE_CHECKING

import structlog

from sarlens.api.common.error_responses import render_error
from sarlens.errors import Overloaded
from sarlens.observability.metrics import Closure, Metrics
from sarlens.server.host_header import HostPolicy
from sarlens.settings.server import ServerSettings

if TYPE_CHECKING:
    from sarlens.server.http_protocol import GatewayProtocol

log = structlog.get_logger(__name__)

_LOG_INTERVAL_S = 60.0
_MAX_CONNECTIONS = 16_384
_MIN_PERIOD_S, _MAX_PERIOD_S = 0.1, 1.0
"""Shortest and longest time between two checks of a connection; the server calls ``check`` ten times a second."""
_CHECKS_PER_TIMEOUT = 10


class Connections:
    """The open connections of a process, at most ``max_connections``.

    Beyond that, a new connection replaces the one that has waited longest for a request. If all have a request in
    progress, the new one is rejected.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.hosts = HostPolicy(settings.hosts)
        self.metrics = metrics
        self.waiting: dict[GatewayProtocol, None] = {}
        """Connections without a request in progress, the longest wait first."""
        self._open: set[GatewayProtocol] = set()
        self._max_connections = settings.max_connections or default_max_connections()
        timeouts_s = (
            settings.head_timeout_s,
            settings.keepalive_timeout_s,
            settings.body_timeout_s,
            settings.read_timeout_s,
            settings.write_timeout_s,
        )
        self._period_s = min(_MAX_PERIOD_S, max(_MIN_PERIOD_S, min(timeouts_s) / _CHECKS_PER_TIMEOUT))
        self._called_at = self._round_at = self._now = 0.0
        self._unchecked: list[GatewayProtocol] = []
        """Connections to check in the rest of the round."""
        self._round_size = 0
        self._logged_at = float("-inf")

    def add(self, connection: GatewayProtocol) -> None:
        """Add a connection, or reject it."""
        if len(self._open) >= self._max_connections:
            self._log_full("max_connections", "the limit of connections is reached", limit=self._max_connections)
            if not self.waiting:
                connection.transport.write(_too_many_connections())
                connection.end("max_connections")
                return
            self._end_waiting(1, "max_connections")
        self._open.add(connection)
        self.waiting[connection] = None
        self.metrics.connections.set(len(self._open))

    def remove(self, connection: GatewayProtocol) -> None:
        """Remove a connection that ends."""
        self._open.discard(connection)
        self.waiting.pop(connection, None)
        self.metrics.connections.set(len(self._open))

    def count(self, reason: Closure) -> None:
        """Count a connection that the gateway closes."""
        self.metrics.closed_connections.labels(reason).inc()

    def check(self, time_s: float) -> None:
        """Check the limits of time of a part of the connections, so that each one is checked once a period.

        To check 10,000 connections takes 15 ms, which would delay every request if it were done at once.
        """
        elapsed_s = time_s - self._called_at
        self._called_at = time_s
        # Clients couldn't send while the event loop didn't run, so that time doesn't count.
        self._now += min(elapsed_s, 2 * self._period_s)
        if not self._unchecked and time_s - self._round_at >= self._period_s:
            self._round_at = time_s
            self._check_open_files()
            self._unchecked = list(self._open)
            self._round_size = len(self._unchecked)
        for _ in range(min(len(self._unchecked), ceil(self._round_size * elapsed_s / self._period_s))):
            connection = self._unchecked.pop()
            if connection in self._open:
                connection.timer.check(self._now)

    def _check_open_files(self) -> None:
        """Close connections that wait for a request if the process has no file descriptor left."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._log_full("max_files", "the limit of open files is reached", limit=_file_limit())
            self._end_waiting(max(1, len(self.waiting) // 4), "max_files")

    def _end_waiting(self, number: int, reason: Closure) -> None:
        for connection in list(islice(self.waiting, number)):
            self.remove(connection)
            connection.end(reason)

    def _log_full(self, reason: Closure, event: str, *, limit: int) -> None:
        if self._now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = self._now
            log.warning(event, reason=reason, limit=limit, connections=len(self._open), waiting=len(self.waiting))


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, as programs do that don't use ``select``."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def default_max_connections() -> int:
    """Half of the limit of open files, since a request may open a connection to a worker."""
    return max(1, min(_file_limit() // 2, _MAX_CONNECTIONS))


def _file_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS * 2 if soft == resource.RLIM_INFINITY else soft


def _too_many_connections() -> bytes:
    error = Overloaded("The gateway has too many connections.", retry_after=1)
    status, headers, body = render_error(error, "/v1", request_id := token_hex(16))
    headers |= {"content-length": str(len(body)), "connection": "close", "x-request-id": request_id}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Service Unavailable\r\n{lines}\r\n".encode() + body
