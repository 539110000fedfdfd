"""What a question about an image costs the gateway over gRPC and over REST, and when its first piece is here.

The worker is a static one; the image is a PNG that the gateway and the worker know already.

    .venv/bin/python loadtests/grpc_cost.py
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
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import aiohttp
import grpc.aio
import orjson
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sarlens.seaweed import free_port
from stand import JSON, cpu_ms, sarlens, spread, starter, static_worker

Ask = Callable[[bool], Awaitable[float]]


def picture(side: int) -> bytes:
    """A PNG of noise, a byte a pixel."""
    held = io.BytesIO()
    Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side)).save(held, "png")
    return held.getvalue()


def over_rest(session: aiohttp.ClientSession, url: str, png: bytes) -> Ask:
    """A way to ask over REST; it returns the seconds to the first piece of the answer."""
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
    """A way to ask over gRPC."""
    request = service_pb2.ModelInferRequest(model_name="sarlens-nano")
    for name, element in (("image", png), ("prompt", b"How many ships?")):
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(len(element).to_bytes(4, "little") + element)

    async def ask(stream: bool) -> float:
        began = perf_counter()
        if not stream:
            await stub.ModelInfer(request)
            return perf_counter() - began
        call = stub.ModelStreamInfer(iter([request]))
        answer = await call.read()
        first = perf_counter() - began
        assert not answer.error_message, answer.error_message
        while await call.read() is not grpc.aio.EOF:
            pass
        return first

    return ask


async def measure(url: str, address: str, cost: Callable[[], float], png: bytes, *, rounds: int, requests: int) -> None:
    """Ask in turns, print the table."""
    figures: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    async with aiohttp.ClientSession() as session, grpc.aio.insecure_channel(address) as channel:
        asks = {
            "REST": over_rest(session, url, png),
            "gRPC": over_grpc(service_pb2_grpc.GRPCInferenceServiceStub(channel), png),
        }
        for number in range(rounds + 1):
            for stream in (False, True):
                for name, ask in asks.items():
                    before = cost()
                    firsts = [await ask(stream) for _ in range(requests if number else 50)]
                    spent = (cost() - before) / len(firsts)
                    if number:
                        figures.setdefault((name, stream), []).append((spent, 1000 * statistics.median(firsts)))
            print(f"round {number} of {rounds} done", file=sys.stderr)
    print(f"{'':18}CPU ms a request             first piece, ms (p50)")
    for (name, stream), found in figures.items():
        costs, firsts = [each[0] for each in found], [each[1] for each in found]
        print(f"{name + (', streaming' if stream else ''):18}{spread(costs, '.3f')}   {spread(firsts, '.2f')}")


def main() -> None:
    """Start a worker and a gateway, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=500, help="requests a round and row")
    parser.add_argument("--side", type=int, default=447, help="of the image in pixels; 447 are 200 kB, 2048 are 4 MB")
    given = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, _ = static_worker(start, "worker")
        port = free_port()
        url, gateway = sarlens(start, [worker_url], {"SARLENS_GRPC__PORT": str(port)})
        png, counts = picture(given.side), {"rounds": given.rounds, "requests": given.requests}
        asyncio.run(measure(url, f"127.0.0.1:{port}", lambda: cpu_ms(gateway), png, **counts))


if __name__ == "__main__":
    main()
