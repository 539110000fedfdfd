"""One process: a socket, uvicorn on it, and the gateway behind, until a signal ends it."""

from __future__ import annotations

import signal
import socket

import uvicorn
import uvloop
from starlette.types import ASGIApp

from sarlens.log import configure_logging
from sarlens.settings import Settings
from sarlens.wiring import open_gateway


class CannotListen(Exception):
    """The address to listen on cannot be had."""


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
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return taken


def serve(settings: Settings, taken: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then let open requests finish within ``drain_s``."""
    configure_logging(settings.log_level)
    uvloop.run(_serve(settings, taken))


async def _serve(settings: Settings, taken: socket.socket) -> None:
    async with open_gateway(settings) as app:
        server = web_server(app, drain_s=settings.drain_s)
        # uvicorn raises a signal again once it has drained, which would end the process before the gateway is closed.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, server.handle_exit)
        await server.serve(sockets=[taken])


def web_server(app: ASGIApp, *, drain_s: float) -> uvicorn.Server:
    """The HTTP server of a gateway; httptools parses, uvloop waits."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(drain_s),
    )
    return uvicorn.Server(config)
