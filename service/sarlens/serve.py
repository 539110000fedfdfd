"""One process: a socket, uvicorn on it, and the gateway behind, until a signal ends it."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
from types import FrameType

import uvicorn
import uvloop

from sarlens.heap import tune_malloc
from sarlens.ingress.front import Front
from sarlens.ingress.grpc_server import CannotListen
from sarlens.log import configure_logging
from sarlens.settings import Settings
from sarlens.wiring import open_gateway

CUT = 3
"""The exit code that says that requests were broken off."""

KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than load balancers keep theirs, often 60 s, so that none of them sends a
request on one that is just being closed."""


def listen(host: str, port: int) -> socket.socket:
    """Take the gateway's socket, so that a port in use is known before anything else starts.

    Raises:
        CannotListen: in a sentence for the person who started the gateway.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        # Two that have bound a port and do not listen yet both have it, by SO_REUSEADDR.
        taken.listen()
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    except UnicodeError:
        raise CannotListen(f"cannot listen on {host}:{port}: that is no name of a host") from None
    return taken


def try_grpc(settings: Settings) -> None:
    """See that the port of gRPC is free, before gRPC itself finds out with many words.

    Raises:
        CannotListen: it is not.
    """
    if settings.grpc.port is None:
        return
    try:
        listen(settings.host, settings.grpc.port).close()
    except CannotListen as error:
        raise CannotListen(f"{error}; SARLENS_GRPC__PORT names another port for gRPC, or none") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(settings: Settings, taken: socket.socket, *, shared: bool = False) -> bool:
    """Serve until SIGINT or SIGTERM, then let open requests finish within ``drain_s``.

    ``shared`` says that other processes serve the same ports.

    Returns:
        Whether all of them did.
    """
    tune_malloc()
    configure_logging(settings.log_level)
    if not shared:
        try_grpc(settings)
    return uvloop.run(_serve(settings, taken, shared=shared))


async def _serve(settings: Settings, taken: socket.socket, *, shared: bool) -> bool:
    async with open_gateway(settings, shared=shared) as app:
        server = GatewayServer(app, drain_s=settings.drain_s)
        # uvicorn raises a signal again once it has drained, which would end the process before the gateway is closed.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, server.handle_exit)
        await server.serve(sockets=[taken])
        return not server.cut


class GatewayServer(uvicorn.Server):
    """The HTTP server of a gateway; httptools parses, uvloop waits.

    At the first signal it refuses new work and goes on listening, so that whoever balances load reads from
    ``/readyz`` that it is going; it ends when open requests have finished or ``drain_s`` are over, or at the second
    signal. ``cut`` counts requests that had to be broken off.
    """

    def __init__(self, app: Front, *, drain_s: float) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.cut = 0
        self._duty = app.duty
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends it."""
        if self._duty.draining:
            self.cut = self._duty.open
            super().handle_exit(sig, frame)
            return
        self._duty.draining = True
        self._loop.call_soon_threadsafe(self._drain)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal has come and open requests have ended."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def _drain(self) -> None:
        self._draining = asyncio.create_task(self._end_when_idle())

    async def _end_when_idle(self) -> None:
        self.cut = await self._duty.drain(self._drain_s)
        self.should_exit = True
