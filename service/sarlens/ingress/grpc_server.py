"""The gRPC server: Open Inference Protocol v2, the typed service, health and reflection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sarlens.errors import CannotStart
from sarlens.ingress.open_inference import OpenInference
from sarlens.ingress.sar_service import SarService
from sarlens.v1 import sar_pb2, sar_pb2_grpc

_LOOK_S = 0.25
_SERVICES = tuple(
    service.full_name for file in (service_pb2, sar_pb2) for service in file.DESCRIPTOR.services_by_name.values()
)
_KEPT = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class Services(NamedTuple):
    """What is spoken over gRPC."""

    open_inference: OpenInference
    sar: SarService


class CannotListen(CannotStart):
    """The address to listen on cannot be had."""


def read_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """What TLS needs, from PEM files; with ``client_ca`` callers have to show a certificate signed by it.

    Raises:
        CannotListen: a file cannot be read, or the key is not the certificate's.
    """
    try:
        # gRPC takes whatever it is given, and says of a wrong file no more than that it cannot listen.
        tried = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tried.load_cert_chain(cert, key, password=lambda: "")
        if client_ca:
            tried.load_verify_locations(client_ca)
        roots = client_ca.read_bytes() if client_ca else None
        return grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], roots, roots is not None)
    except ssl.SSLError as error:
        raise CannotListen(f"the gRPC certificate, its key or its authorities are of no use: {error.reason}") from None
    except OSError as error:
        files = ", ".join(str(file) for file in (cert, key, client_ca) if file and not file.is_file())
        raise CannotListen(f"the gRPC certificate cannot be read: {error.strerror}: {files or cert}") from None


@asynccontextmanager
async def serve_grpc(
    services: Services,
    ready: Callable[[], bool],
    host: str,
    port: int,
    *,
    message_bytes: int,
    credentials: grpc.ServerCredentials | None,
    shared: bool,
) -> AsyncIterator[int]:
    """Serve for as long as the context lasts, and yield the port.

    It is encrypted if there are ``credentials``; with ``shared``, processes may listen on the same port.

    Raises:
        CannotListen: the port is taken.
    """
    limits = (("grpc.max_receive_message_length", message_bytes), ("grpc.max_send_message_length", message_bytes))
    server = grpc.aio.server(options=(*limits, *_KEPT, ("grpc.so_reuseport", int(shared))))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(services.open_inference, server)
    sar_pb2_grpc.add_SarServicer_to_server(services.sar, server)
    watched = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(watched, server)
    reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        taken = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    except RuntimeError:
        raise CannotListen(
            f"cannot listen on {host}:{port} for gRPC: is the port in use? SARLENS_GRPC__PORT names another, or none"
        ) from None
    await server.start()
    watching = asyncio.create_task(_show_health(watched, ready))
    try:
        yield taken
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await server.stop(grace=1)


async def _show_health(watched: health.aio.HealthServicer, ready: Callable[[], bool]) -> None:
    """Tell those who watch whether requests are taken."""
    states = health_pb2.HealthCheckResponse
    while True:
        state = states.SERVING if ready() else states.NOT_SERVING
        for name in ("", *_SERVICES):
            await watched.set(name, state)
        await asyncio.sleep(_LOOK_S)
