"""Connections to workers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from math import inf

from aiohappyeyeballs import start_connection

from sarlens.errors import Timeout, WorkerUnreachable
from sarlens.json_input import Document
from sarlens.workers.clients.http1.connection import Connection
from sarlens.workers.clients.http1.deadlines import Deadlines
from sarlens.workers.clients.http1.endpoint import Endpoint
from sarlens.workers.clients.http1.response import Response

_NEXT_ADDRESS_AFTER_S = 0.25
"""Time after which a connection also tries the next address of a name, in seconds (RFC 8305)."""


class HttpConnections:
    """What the connections to all workers share: their deadlines, and the context of TLS."""

    def __init__(self, *, connect_timeout_s: float, keepalive_timeout_s: float) -> None:
        self.connect_timeout_s = connect_timeout_s
        self.keepalive_timeout_s = keepalive_timeout_s
        self.deadlines = Deadlines()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The context that verifies workers by the authorities of the system, or of ``SSL_CERT_FILE``."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def pool(self, url: str, fields: Mapping[str, str]) -> ConnectionPool:
        """Return a pool of connections to the worker at a base URL; ``fields`` are header fields of all requests."""
        return ConnectionPool(Endpoint(url, fields), self)


@asynccontextmanager
async def http_connections(*, connect_timeout_s: float, keepalive_timeout_s: float) -> AsyncIterator[HttpConnections]:
    """Open no connection yet, and end all at the exit."""
    connections = HttpConnections(connect_timeout_s=connect_timeout_s, keepalive_timeout_s=keepalive_timeout_s)
    try:
        yield connections
    finally:
        connections.deadlines.close()


class ConnectionPool:
    """Connections to one worker, of which those that are idle carry the next requests, the last used first."""

    def __init__(self, endpoint: Endpoint, shared: HttpConnections) -> None:
        self.endpoint = endpoint
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []

    async def request(
        self,
        head: bytes,
        body: Document,
        *,
        timeout_s: float,
        max_bytes: int,
        idle_timeout_s: float = inf,
        reuse: bool = True,
    ) -> Response:
        """Send a request, and return its response when it is readable. The caller must close it.

        Args:
            head: the head of the request, with the blank line at its end.
            body: the body.
            timeout_s: maximum time until the response is readable.
            max_bytes: maximum size of a response that isn't a stream.
            idle_timeout_s: maximum time between two parts of a stream.
            reuse: whether the request may use an idle connection.

        Raises:
            WorkerUnreachable: the worker doesn't accept connections.
            StaleConnection: the worker closed an idle connection before a byte of the response.
            WorkerFailed: the worker sent no valid response.
            Timeout: the response isn't readable in time.
        """
        expires_at = self._loop.time() + timeout_s
        connection = (self._take() if reuse else None) or await self._connect(timeout_s)
        response = Response(connection, max_bytes, idle_timeout_s)
        connection.send(head, body, response, expires_at)
        try:
            await response.wait()
        except BaseException:
            response.close()
            raise
        return response

    def release(self, connection: Connection) -> None:
        """Keep a connection that can carry another request."""
        connection.set_timeout(self._shared.keepalive_timeout_s)
        self._idle.append(connection)

    def remove(self, connection: Connection) -> None:
        """Drop a connection that has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def _take(self) -> Connection | None:
        """Return the idle connection that was used last, unless it has been idle for too long."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.expires_at > self._loop.time():
                return connection
            connection.abort()
        return None

    async def _connect(self, timeout_s: float) -> Connection:
        limit_s = self._shared.connect_timeout_s
        try:
            async with asyncio.timeout(min(limit_s, timeout_s)):
                return await self._open()
        except TimeoutError as error:
            if timeout_s < limit_s:
                raise Timeout("The worker didn't respond in time.") from error
            raise WorkerUnreachable("The worker doesn't accept connections.") from error
        except (OSError, UnicodeError) as error:
            raise WorkerUnreachable("The worker doesn't accept connections.") from error

    async def _open(self) -> Connection:
        """Connect to the first address that accepts, and prove the worker's name if the URL has TLS."""
        endpoint, shared = self.endpoint, self._shared
        addresses = await endpoint.addresses()
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S, interleave=1)
        try:
            _, connection = await self._loop.create_connection(
                partial(Connection, self, shared.deadlines),
                sock=sock,
                ssl=shared.tls if endpoint.is_tls else None,
                server_hostname=endpoint.host if endpoint.is_tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection
