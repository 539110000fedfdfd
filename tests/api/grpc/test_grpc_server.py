"""The gRPC server: its port, and health during a drain."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from sarlens.bootstrap.gateway import open_gateway
from sarlens.devstack.ports import free_port
from sarlens.errors import BindError
from sarlens.server.server import GatewayServer, bind_socket
from sarlens.settings import GrpcSettings, Settings, WorkerSettings
from support.gateway import gateway, grpc_gateway, until_it_answers
from support.workers.fake_worker import fake_worker


async def test_health_watchers_see_the_drain() -> None:
    """grpc.health.v1 reports SERVING, and NOT_SERVING as soon as the gateway drains."""
    port, bound = free_port(), bind_socket("127.0.0.1", 0)
    async with fake_worker() as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), grpc=GrpcSettings(port=port))
        async with open_gateway(settings) as app, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            server = GatewayServer(app, settings.server, drain_timeout_s=5)
            running = asyncio.create_task(server.serve(sockets=[bound]))
            await until_it_answers(f"http://127.0.0.1:{bound.getsockname()[1]}/health")
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="sarlens.v1.Sar"))
            async with asyncio.timeout(10):
                while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                    pass
                with app.drain_controller.track_request():
                    server.handle_exit(15, None)
                    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                    with pytest.raises(grpc.aio.AioRpcError) as rejected:
                        await sar_pb2_grpc.SarStub(channel).Vqa(sar_pb2.VqaRequest())
                    assert rejected.value.code() is grpc.StatusCode.UNAVAILABLE
                await running
            watch.cancel()


async def test_health_tells_the_gateway_from_its_workers() -> None:
    """Without a ready worker, the server is SERVING, so that clients get its errors, and its services aren't."""
    port = free_port()
    settings = Settings(worker=WorkerSettings(urls=("http://127.0.0.1:9",)), grpc=GrpcSettings(port=port))
    async with gateway(settings, ready=False), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(10):
            watch = health.Watch(health_pb2.HealthCheckRequest())
            while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                pass
            watch.cancel()
        for service in ("sarlens.v1.Sar", "inference.GRPCInferenceService"):
            status = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert status.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_port_in_use_is_rejected() -> None:
    """A gateway doesn't start on a gRPC port in use, and the error names the setting."""
    async with fake_worker() as worker, grpc_gateway(worker.url) as addresses:
        settings = Settings(grpc=GrpcSettings(port=int(addresses.rpc.partition(":")[2])))
        with pytest.raises(BindError, match="SARLENS_GRPC__PORT"):
            async with open_gateway(settings):
                pass
