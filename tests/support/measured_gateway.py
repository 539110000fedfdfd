"""Gateway in a separate process that measures the pauses of its event loop and its memory.

``python -m support.measured_gateway SETTINGS`` serves; ``GET /pause`` returns the figures since the last call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from starlette.types import Receive, Scope, Send

from sarlens.api.app.asgi import GatewayApp
from sarlens.api.common.responses import send_json
from sarlens.bootstrap.gateway import open_gateway
from sarlens.devstack.ports import free_port
from sarlens.server import server
from sarlens.settings import Settings
from support.gateway import until_it_answers

_TICK_S = 0.002
_GRPC_THREAD = "_poll_wrapper"


class Pause(NamedTuple):
    """Figures of a gateway."""

    seconds: float
    """Longest pause of the event loop."""
    peak_bytes: int
    """Peak of the resident memory."""


class _Times(NamedTuple):
    """Times of a thread since its start."""

    cpu_s: float
    waited_s: float
    """Time on a run queue."""


class _ThreadSchedule:
    """The times of a thread, which the kernel counts."""

    def __init__(self, thread_id: int) -> None:
        self._file = os.open(f"/proc/self/task/{thread_id}/schedstat", os.O_RDONLY)

    def read(self) -> _Times:
        """The times until now."""
        cpu_ns, waited_ns, _ = os.pread(self._file, 64, 0).split()
        return _Times(int(cpu_ns) / 1e9, int(waited_ns) / 1e9)


class PauseMeter:
    """Measures pauses of the event loop that the process itself causes, however busy the machine is.

    The loop's thread pauses while it computes, and while another thread holds the interpreter's lock. A pause is at
    most the CPU time of these threads, and at most the delay of a tick without the wait for a CPU.
    """

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._threads: dict[int, _ThreadSchedule] = {}

    async def run_forever(self) -> None:
        """Tick."""
        loop = self._schedule_of(threading.get_native_id())
        while True:
            started_s, waited_s, cpu_s = time.perf_counter(), loop.read().waited_s, self._cpu_s()
            await asyncio.sleep(_TICK_S)
            own_s = time.perf_counter() - started_s - _TICK_S - (loop.read().waited_s - waited_s)
            self._longest_s = max(self._longest_s, min(own_s, self._cpu_s() - cpu_s))

    def _cpu_s(self) -> float:
        """CPU time of the threads that run Python; gRPC's own threads hold no lock while they work."""
        threads = [thread for thread in threading.enumerate() if _GRPC_THREAD not in thread.name]
        return sum(self._schedule_of(thread.native_id or 0).read().cpu_s for thread in threads)

    def _schedule_of(self, thread_id: int) -> _ThreadSchedule:
        if thread_id not in self._threads:
            self._threads[thread_id] = _ThreadSchedule(thread_id)
        return self._threads[thread_id]

    def take(self) -> dict[str, float]:
        """Return the figures since the last call."""
        status = Path("/proc/self/status").read_text()
        peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
        Path("/proc/self/clear_refs").write_text("5")
        pause_s, self._longest_s = self._longest_s, 0.0
        return {"seconds": pause_s, "peak_bytes": peak_kib * 1024}


@asynccontextmanager
async def _open_measured(settings: Settings, *, shared_folder: Path | None) -> AsyncIterator[GatewayApp]:
    meter = PauseMeter()
    async with open_gateway(settings, shared_folder=shared_folder) as app:
        serve_http = app._http

        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/pause":
                await asyncio.sleep(2 * _TICK_S)  # the tick that a pause has delayed comes first
                await send_json(send, 200, json.dumps(meter.take()).encode())
            else:
                await serve_http(scope, receive, send)

        app._http = measured
        ticking = asyncio.create_task(meter.run_forever())
        yield app
        ticking.cancel()


class MeasuredGateway(NamedTuple):
    """Addresses of a measured gateway."""

    url: str
    rpc: str
    http: aiohttp.ClientSession

    async def pause(self) -> Pause:
        """The figures since the last call."""
        async with self.http.get(f"{self.url}/pause") as response:
            return Pause(**await response.json())


@asynccontextmanager
async def measured_gateway(**settings: Any) -> AsyncIterator[MeasuredGateway]:
    """Start a gateway with these settings, in the environment's form, and end it."""
    port, rpc_port = free_port(), free_port()
    settings |= {"grpc": {"port": rpc_port}}
    paths = os.pathsep.join(path for path in sys.path if path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "support.measured_gateway", json.dumps(settings), str(port)),
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}"
            await until_it_answers(f"{url}/health")
            yield MeasuredGateway(url, f"127.0.0.1:{rpc_port}", http)
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    setattr(server, "open_gateway", _open_measured)  # noqa: B010
    server.serve(Settings(**json.loads(sys.argv[1])), server.bind_socket("127.0.0.1", int(sys.argv[2])))
