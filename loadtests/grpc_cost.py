"""Gateway CPU time and time to the first piece of a response, for a question about an image over gRPC and over REST.

The worker is ``stub_worker.py``. The image is a PNG that the gateway and the worker have already seen. The floor is
gRPC's own server without a gateway (``grpc_echo.py``). With ``--baseline``, the gateway of another checkout is measured
as well, in the same rounds.

    .venv/bin/python loadtests/grpc_cost.py --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import random
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import aiohttp
import grpc.aio
import orjson
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness import HERE, JSON, Start, print_machine, run_ms, sarlens, spread, starter, stub_worker
from sarlens.devstack.ports import free_port
from sarlens.runtime.child_process import ManagedProcess

Ask = Callable[[bool], Awaitable[float]]


def noise_png(side: int) -> bytes:
    """Return a PNG of noise, with about one byte per pixel."""
    buffer = io.BytesIO()
    Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side)).save(buffer, "png")
    return buffer.getvalue()


def over_rest(session: aiohttp.ClientSession, url: str, png: bytes) -> Ask:
    """Return a function that asks over REST and returns the seconds to the first piece of the response."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}}
    content = [image, {"type": "text", "text": "How many ships?"}]
    body = {"model": "sarlens-nano", "messages": [{"role": "user", "content": content}], "max_tokens": 128}
    bodies = {stream: orjson.dumps({**body, "stream": stream}) for stream in (False, True)}

    async def ask(stream: bool) -> float:
        began = perf_counter()
        async with session.post(f"{url}/v1/chat/completions", data=bodies[stream], headers=JSON) as response:
            assert response.status == 200, await response.text()
            await response.content.readany()
            first = perf_counter() - began
            await response.read()
        return first

    return ask


def over_grpc(stub: service_pb2_grpc.GRPCInferenceServiceStub, png: bytes) -> Ask:
    """Return a function that asks over gRPC and returns the seconds to the first piece of the response."""
    request = service_pb2.ModelInferRequest(model_name="sarlens-nano")
    for name, element in (("image", png), ("prompt", b"How many ships?")):
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(len(element).to_bytes(4, "little") + element)

    async def ask(stream: bool) -> float:
        began = perf_counter()
        if not stream:
            await stub.ModelInfer(request, wait_for_ready=True)
            return perf_counter() - began
        call = stub.ModelStreamInfer(iter([request]))
        answer = await call.read()
        first = perf_counter() - began
        assert not answer.error_message, answer.error_message
        while await call.read() is not grpc.aio.EOF:
            pass
        return first

    return ask


class Server(NamedTuple):
    """A process to measure."""

    url: str
    """Base URL of REST; empty without REST."""
    grpc_address: str
    process: ManagedProcess


async def measure(servers: dict[str, Server], png: bytes, *, rounds: int, requests: int) -> None:
    """Measure every case once a round, and print the table. The servers are by the ends of the names of their rows."""
    figures: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        asks: dict[str, tuple[ManagedProcess, Ask]] = {}
        for suffix, server in servers.items():
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.grpc_address))
            if server.url:
                asks[f"REST{suffix}"] = server.process, over_rest(session, server.url, png)
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            asks[f"gRPC{suffix}"] = server.process, over_grpc(stub, png)
        for number in range(rounds + 1):
            for stream in (False, True):
                for name, (process, ask) in asks.items():
                    before = run_ms(process)
                    firsts = [await ask(stream) for _ in range(requests if number else 50)]
                    spent = (run_ms(process) - before) / len(firsts)
                    if number:
                        figures.setdefault((name, stream), []).append((spent, 1000 * statistics.median(firsts)))
            print(f"round {number} of {rounds} done", file=sys.stderr)
    print_machine()
    print(f"{'':30}CPU ms a request             first piece, ms (p50)")
    for (name, stream), samples in figures.items():
        costs, firsts = [cost for cost, _ in samples], [first for _, first in samples]
        print(f"{name + (', streaming' if stream else ''):30}{spread(costs, '.3f')}   {spread(firsts, '.2f')}")


def main() -> None:
    """Start a worker and a gateway, and measure them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=500, help="requests per round and row")
    parser.add_argument(
        "--side", type=int, default=447, help="side of the image in pixels; 447 is 200 kB, 2048 is 4 MB"
    )
    parser.add_argument("--baseline", type=Path, help="another checkout, whose gateway is measured as well")
    args = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, _ = stub_worker(start, "worker")
        checkouts = {"": HERE.parent, **({", baseline": args.baseline} if args.baseline else {})}
        servers = {suffix: start_gateway(start, worker_url, checkout) for suffix, checkout in checkouts.items()}
        port = free_port()
        echo = start("echo", [sys.executable, str(HERE / "grpc_echo.py"), str(port)], {})
        servers[", echo server"] = Server("", f"127.0.0.1:{port}", echo)
        asyncio.run(measure(servers, noise_png(args.side), rounds=args.rounds, requests=args.requests))


def start_gateway(start: Start, worker_url: str, checkout: Path) -> Server:
    """Start the gateway of a checkout."""
    port = free_port()
    environment = {"SARLENS_GRPC__PORT": str(port), "PYTHONPATH": str(checkout.resolve() / "service")}
    url, process = sarlens(start, [worker_url], environment)
    return Server(url, f"127.0.0.1:{port}", process)


if __name__ == "__main__":
    main()
