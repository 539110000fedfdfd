"""The gRPC server: Open Inference Protocol v2, health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sarlens.ingress.duty import Duty
from sarlens.ingress.open_inference import OpenInference
from sarlens.workers.pool import Pool

_LOOK_S = 0.25
_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_KEPT = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class CannotListen(Exception):
    """The address to listen on cannot be had."""


def read_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """What TLS needs, from PEM files; with ``client_ca`` callers have to show a certificate signed by it.

    Raises:
        CannotListen: a file cannot be read.
    """
    try:
        roots = client_ca.read_bytes() if client_ca else None
        return grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], roots, roots is not None)
    except OSError as error:
        raise CannotListen(f"the gRPC certificate cannot be read: {error.strerror}: {error.filename}") from None


@asynccontextmanager
async def serve_grpc(
    servicer: OpenInference,
    duty: Duty,
    pool: Pool,
    host: str,
    port: int,
    *,
    message_bytes: int,
    credentials: grpc.ServerCredentials | None,
) -> AsyncIterator[int]:
    """Serve for as long as the context lasts, and yield the port; encrypted if there are ``credentials``.

    Raises:
        CannotListen: the port is taken.
    """
    limits = (("grpc.max_receive_message_length", message_bytes), ("grpc.max_send_message_length", message_bytes))
    server = grpc.aio.server(options=(*limits, *_KEPT))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    watched = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(watched, server)
    reflection.enable_server_reflection((_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        taken = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    except RuntimeError:
        raise CannotListen(f"cannot listen on {host}:{port} for gRPC: is the port in use?") from None
    await server.start()
    watching = asyncio.create_task(_show_health(watched, duty, pool))
    try:
        yield taken
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await server.stop(grace=1)


async def _show_health(watched: health.aio.HealthServicer, duty: Duty, pool: Pool) -> None:
    """Tell those who watch whether requests are taken."""
    states = health_pb2.HealthCheckResponse
    while True:
        state = states.SERVING if pool.ready and not duty.draining else states.NOT_SERVING
        for name in ("", _SERVICE):
            await watched.set(name, state)
        await asyncio.sleep(_LOOK_S)
