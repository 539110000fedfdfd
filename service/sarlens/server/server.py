"""One process of the gateway: a socket and uvicorn, until a signal ends it."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import signal
import socket
import time
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
import uvloop

import sarlens
from sarlens.api.app.asgi import GatewayApp
from sarlens.bootstrap.gateway import open_gateway
from sarlens.errors import BindError
from sarlens.observability.logging import configure_logging
from sarlens.runtime.malloc import tune_malloc
from sarlens.server.connections import Connections, raise_file_limit
from sarlens.server.http_protocol import GatewayProtocol
from sarlens.server.management import serve_management
from sarlens.server.uvicorn_config import uvicorn_config
from sarlens.settings import Settings
from sarlens.settings.server import ServerSettings
from sarlens.workers.discovery.base_url import http_url

log = structlog.get_logger(__name__)

EXIT_REQUESTS_ABORTED = 3
"""Exit code if the drain timeout aborted requests."""

_COLLECTION_THRESHOLDS = (7_000, 10, 10)
"""Thresholds of garbage collections: 7,000 more objects, which is ten times Python's number, for the youngest ones.

A full collection follows after 700,000 more objects, so up to 0.1 GB of garbage.
"""


def bind_socket(
    host: str, port: int, *, hint: str = "choose another port with --port or SARLENS_PORT"
) -> socket.socket:
    """Return a listening socket, so that a port in use is reported before anything else starts.

    Args:
        host: address to listen on.
        port: port to listen on; 0, any free one.
        hint: the remedy, at the end of the message, if the port can't be bound.

    Raises:
        BindError: the address isn't valid or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise BindError(
            f"can't listen on {host}:{port}: no such host; choose another address with --host or SARLENS_HOST"
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # With SO_REUSEADDR, two processes can bind a port as long as neither of them listens.
        sock.listen()
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "choose another address with --host or SARLENS_HOST"
        raise BindError(f"can't listen on {host}:{port}: {error.strerror}; {hint}") from error
    return sock


def bind_management_socket(settings: Settings) -> socket.socket | None:
    """Return a listening socket of the management port, or None without one.

    Raises:
        BindError: the address isn't valid or the port is in use.
    """
    management = settings.management
    if management.port is None:
        return None
    return bind_socket(management.host, management.port, hint="choose another port with SARLENS_MANAGEMENT__PORT")


def check_grpc_port(settings: Settings) -> None:
    """Make sure that the port of gRPC is free, because gRPC itself reports that in many lines.

    Raises:
        BindError: the port is in use.
    """
    if settings.grpc.port is not None:
        hint = "choose another port for gRPC with SARLENS_GRPC__PORT, or none to turn gRPC off"
        bind_socket(settings.host, settings.grpc.port, hint=hint).close()


def log_addresses(
    settings: Settings, sock: socket.socket, management_sock: socket.socket | None, processes: int = 1
) -> None:
    """Log the version and the addresses, in one line."""
    grpc, rest = settings.grpc, _url_of(sock)
    addresses = {
        "rest": rest,
        "console": f"{rest}/console",
        "grpc": f"{settings.host}:{grpc.port}" if grpc.port is not None else None,
        "management": _url_of(management_sock) if management_sock is not None else None,
        "processes": processes if processes > 1 else None,
    }
    known = {name: value for name, value in addresses.items() if value}
    log.info("gateway starts", version=sarlens.__version__, **known)


def _url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return http_url(host, port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    settings: Settings,
    sock: socket.socket,
    *,
    shared_folder: Path | None = None,
    management_sock: socket.socket | None = None,
) -> bool:
    """Serve until SIGINT or SIGTERM, then drain: open requests have ``settings.drain_timeout_s`` to finish.

    Args:
        settings: the settings.
        sock: listening socket of REST.
        shared_folder: folder that the processes which serve the same ports share, or None if there is only this one.
        management_sock: listening socket of the management port, if other processes share it.

    Returns:
        Whether all open requests finished.
    """
    if shared_folder is None:
        check_grpc_port(settings)
        management_sock = bind_management_socket(settings)
    tune_malloc()
    configure_logging(settings.log_level)
    if shared_folder is None:
        log_addresses(settings, sock, management_sock)
    raise_file_limit()
    return uvloop.run(_run_server(settings, sock, management_sock, shared_folder))


def tune_garbage_collection() -> None:
    """Make collections short and rare, when the gateway is constructed.

    Requests leave no cycles behind, so that collections find nothing: with Python's thresholds they took 5 % of the CPU
    time of short requests. A full collection visits the objects of all modules, which takes 70 ms, unless they are
    frozen. It also visits those of open streams: while 10,000 opened, twelve full collections took 4.3 s of CPU.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


async def _run_server(
    settings: Settings, sock: socket.socket, management_sock: socket.socket | None, shared_folder: Path | None
) -> bool:
    async with (
        open_gateway(settings, shared_folder=shared_folder) as app,
        serve_management(app.management, management_sock),
    ):
        server = GatewayServer(app, settings.server, drain_timeout_s=settings.drain_timeout_s)
        # uvicorn raises the signal again after the drain, which would end the process before the gateway is closed.
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: None)
        signal.signal(signal.SIGHUP, server.handle_exit)
        tune_garbage_collection()
        await server.serve(sockets=[sock])
        return not server.aborted_requests


class GatewayServer(uvicorn.Server):
    """The HTTP server of a gateway: uvicorn with limits of connections, and a drain at the first signal.

    While draining, the server rejects new work but still listens, so that load balancers see from ``/readyz`` that it
    is ending. It ends when all open requests have finished, after ``drain_timeout_s`` seconds, or at the second
    signal. ``aborted_requests`` is the number of requests that were aborted.
    """

    def __init__(self, app: GatewayApp, limits: ServerSettings, *, drain_timeout_s: float) -> None:
        self._connections = Connections(limits, app.metrics)
        super().__init__(uvicorn_config(app, partial(GatewayProtocol, self._connections)))
        self.aborted_requests = 0
        self._drain_controller = app.drain_controller
        self._drain_timeout_s = drain_timeout_s
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second one."""
        if self._drain_controller.draining:
            self.aborted_requests = self._drain_controller.in_flight
            super().handle_exit(sig, frame)
            return
        self._drain_controller.draining = True
        self._loop.call_soon_threadsafe(self._drain)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal arrives and the drain has ended."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Check the connections; uvicorn calls this ten times a second."""
        self._connections.check(time.monotonic())
        return await super().on_tick(counter)

    def _drain(self) -> None:
        self._draining = asyncio.create_task(self._end_when_idle())

    async def _end_when_idle(self) -> None:
        self.aborted_requests = await self._drain_controller.drain(self._drain_timeout_s)
        self.should_exit = True
