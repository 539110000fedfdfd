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
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sarlens.api.grpc.call_guard import CallGuard
from sarlens.api.grpc.oip_servicer import OipServicer
from sarlens.api.grpc.reflection import enable_reflection
from sarlens.api.grpc.sar_servicer import SarServicer
from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from sarlens.errors import BindError

_HEALTH_INTERVAL_S = 0.25
SERVICES = tuple(
    service.full_name for file in (service_pb2, sar_pb2) for service in file.DESCRIPTOR.services_by_name.values()
)
_KEEPALIVE_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class Services(NamedTuple):
    """Services of the gRPC server."""

    open_inference: OipServicer
    sar: SarServicer
    guard: CallGuard


class HealthOf(NamedTuple):
    """What the health service reports."""

    accepts_requests: Callable[[], bool]
    """Health of the whole server, the service without a name, which load balancers check."""
    worker_ready: Callable[[], bool]
    """Health of each service by its name."""


def read_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Load the TLS credentials from PEM files; with ``client_ca``, clients need a certificate that it signed.

    Raises:
        BindError: a file can't be read, or the key doesn't match the certificate.
    """
    try:
        # gRPC reports any wrong file as an address that it can't listen on, so Python's ssl checks the files first.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=lambda: "")
        if client_ca:
            context.load_verify_locations(client_ca)
        roots = client_ca.read_bytes() if client_ca else None
        return grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], roots, roots is not None)
    except ssl.SSLError as error:
        raise BindError(f"invalid gRPC certificate, key or authority: {error.reason}") from None
    except OSError as error:
        files = ", ".join(str(file) for file in (cert, key, client_ca) if file and not file.is_file())
        raise BindError(f"a gRPC certificate file can't be read: {error.strerror}: {files or cert}") from None


@asynccontextmanager
async def serve_grpc(
    services: Services,
    health_of: HealthOf,
    host: str,
    port: int,
    *,
    message_bytes: int,
    max_concurrent_calls: int,
    credentials: grpc.ServerCredentials | None,
    shared: bool,
) -> AsyncIterator[int]:
    """Serve within the block, and yield the port.

    ``credentials`` turn TLS on. With ``shared``, several processes can listen on the port.

    Raises:
        BindError: the port is in use.
    """
    limits = (("grpc.max_receive_message_length", message_bytes), ("grpc.max_send_message_length", message_bytes))
    server = grpc.aio.server(
        interceptors=(services.guard,),
        options=(*limits, *_KEEPALIVE_OPTIONS, ("grpc.so_reuseport", int(shared))),
        maximum_concurrent_rpcs=max_concurrent_calls,
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(services.open_inference, server)
    sar_pb2_grpc.add_SarServicer_to_server(services.sar, server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    enable_reflection((*SERVICES, health.SERVICE_NAME), server)
    try:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        bound_port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        raise BindError(
            f"can't listen on {host}:{port} for gRPC: is it in use? Set SARLENS_GRPC__PORT to another port or none"
        ) from None
    await server.start()
    updates = asyncio.create_task(update_health(health_servicer, health_of))
    try:
        yield bound_port
    finally:
        updates.cancel()
        with suppress(asyncio.CancelledError):
            await updates
        await server.stop(grace=1)


async def update_health(servicer: health.aio.HealthServicer, health_of: HealthOf) -> None:
    """Report to health watchers, four times a second, whether the gateway accepts requests and a worker is ready."""
    statuses = health_pb2.HealthCheckResponse
    while True:
        for service in ("", *SERVICES):
            serves = health_of.worker_ready() if service else health_of.accepts_requests()
            await servicer.set(service, statuses.SERVING if serves else statuses.NOT_SERVING)
        await asyncio.sleep(_HEALTH_INTERVAL_S)
