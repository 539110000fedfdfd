"""Callers that take more than their share, and the figure that shows the effect on others."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import aiohttp
import orjson

import fairness
from comparison import Bench, Row
from cpu_per_request import write_scene
from harness import HERE, JSON, memory_mb
from sarlens.admission.api_keys import generate_api_key
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, s3_client, seaweedfs_command, upload_samples
from wide_bodies import widest_bodies


def greedy_key(bench: Bench) -> str:
    """Compare the p99 of a small key alone with its p99 while another key keeps 340 requests open."""
    fleet = bench.workers(2, "--pause-s", "0.1", "--slots", "10")
    keys = {name: generate_api_key() for name in ("small", "greedy")}
    entries = [{"name": name, "sha256": key_hash} for name, (_, key_hash) in keys.items()]
    (bench.state / "keys.json").write_bytes(orjson.dumps(entries))
    limits = {"SARLENS_ADMISSION__MAX_REQUESTS_PER_WORKER": "10", "SARLENS_KEYS__FILE": str(bench.state / "keys.json")}
    url, _ = bench.gateway(fleet, limits)
    small, greedy = keys["small"][0], keys["greedy"][0]
    p99 = []
    for other in (None, greedy):
        seconds, _ = asyncio.run(fairness.measure(url, small, 60, other))
        p99.append(statistics.quantiles(seconds, n=100, method="inclusive")[98])
    return f"{p99[1] / p99[0]:.1f} times"


def _connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def _head(length: int) -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % length


def _open(connections: list[socket.socket]) -> int:
    """Return the number of connections that the gateway hasn't closed."""
    count = 0
    for connection in connections:
        connection.settimeout(0.05)
        try:
            while piece := connection.recv(65536):
                del piece
        except TimeoutError:
            count += 1
        except ConnectionError:
            pass
    return count


def stalled_uploads(bench: Bench) -> str:
    """Hold eight connections that announce 64 MiB and send a byte, and send short requests meanwhile."""
    url, _ = bench.gateway(bench.workers(1))

    async def run() -> int:
        async with aiohttp.ClientSession() as session:
            statuses = []
            for _ in range(20):
                async with session.post(f"{url}/v1/chat/completions", data=fairness.BODY, headers=JSON) as response:
                    statuses.append(response.status)
        return statuses.count(200)

    with ExitStack() as stack:
        stalled = [stack.enter_context(_connect(url)) for _ in range(8)]
        for connection in stalled:
            connection.sendall(_head(2**26) + b"{")
        time.sleep(1)
        answered = asyncio.run(run())
        time.sleep(25)
        return f"{answered} of 20, {_open(stalled)}"


def header_flood(bench: Bench) -> str:
    """Send 200 MB of headers on one connection."""
    url, process = bench.gateway(bench.workers(1))
    before = memory_mb(process)
    with _connect(url) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n")
            for number in range(200):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1_000_000))
            connection.sendall(b"\r\n")
        status = "closed"
        with suppress(ConnectionError):
            status = connection.recv(16).decode()[9:12]
        return f"{status}, {memory_mb(process) - before:.0f} MB"


def silent_connections(bench: Bench) -> str:
    """Open 100 connections that send half a head, and nothing more."""
    url, _ = bench.gateway(bench.workers(1))
    with ExitStack() as stack:
        connections = [stack.enter_context(_connect(url)) for _ in range(100)]
        for connection in connections:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        time.sleep(30)
        return f"{_open(connections)} of 100"


def slow_store(bench: Bench) -> str:
    """Start an S3 server with a scene in a bucket, and six in one that responds after 8 s; return its URL."""
    os.environ.update(S3_CREDENTIALS)
    server, proxy = free_port(), free_port()
    url = f"http://127.0.0.1:{server}"
    (bench.state / "scenes").mkdir()
    write_scene(bench.state / "scenes" / "scene.tif")
    upload_samples(bench.start("s3", seaweedfs_command(bench.state / "s3", server), {}), url, bench.state / "scenes")
    client = s3_client(url)
    client.create_bucket(Bucket="slow")
    for number in range(6):
        client.upload_file(str(bench.state / "scenes" / "scene.tif"), "slow", f"{number}.tif")
    command = [sys.executable, str(HERE / "fault_proxy.py"), str(proxy), str(server), "slow bucket"]
    bench.start("proxy", command, {})
    return f"http://127.0.0.1:{proxy}"


def slow_bucket(bench: Bench) -> str:
    """Request six images of a slow bucket, and then one of another bucket, for at most 60 s."""
    url, _ = bench.gateway(bench.workers(1), {"SARLENS_S3__ENDPOINT": slow_store(bench), **S3_CREDENTIALS})

    async def picture(session: aiohttp.ClientSession, image: str) -> int:
        async with session.get(f"{url}/v1/sar/picture", params={"url": image}) as response:
            await response.read()
            return response.status

    async def run() -> str:
        async with aiohttp.ClientSession() as session:
            slow = [asyncio.create_task(picture(session, f"s3://slow/{number}.tif")) for number in range(6)]
            await asyncio.sleep(10)  # the slow requests have the versions, and read the objects
            began = time.perf_counter()
            try:
                async with asyncio.timeout(60):
                    status = str(await picture(session, "s3://scenes/scene.tif"))
            except TimeoutError:
                status = "no answer"
            seconds = time.perf_counter() - began
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        return f"{status}, {seconds:.1f} s"

    return asyncio.run(run())


ROWS = [
    Row("4 a key with 340 open requests", "p99 of another key, of its p99 alone", greedy_key),
    Row("6 eight stalled uploads", "requests answered, uploads open after 26 s", stalled_uploads),
    Row("7 200 MB of headers", "status, growth of memory", header_flood),
    Row("7 100 connections with half a head", "open after 30 s", silent_connections),
    Row("8 widest bodies", "longest pause of the event loop, growth of memory", widest_bodies),
    Row("10 six images of a slow bucket", "an image of another bucket", slow_bucket),
]
