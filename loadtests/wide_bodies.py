"""Bodies with many parts, and the pause of the event loop that they cause."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from comparison import Bench
from harness import JSON, memory_mb
from sarlens.runtime.child_process import ManagedProcess

_MIB = 2**20
WIDE = {
    "/v1/sar/vqa": b'{"image": "s3://scenes/a.png", "questions": [' + b'"a",' * 4_000_000 + b'"a"]}',
    "/v1/sar/captions": b'{"image": "s3://scenes/' + b"%41" * (7 * _MIB) + b'"}',
    "/v1/chat/completions": b'{"model": "sarlens-nano", "messages": [' + b"{}," * (7 * _MIB) + b"{}]}",
    "/v1/sar/surveys": b'{"image": "s3://scenes/a.png", "questions": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
}
"""Bodies of 1 to 21 MiB whose cost is in the number of their parts."""


class PauseWatch:
    """Longest CPU time of a gateway's event loop between a health check and its response.

    The clock isn't used: other processes of the machine can take the CPU from the gateway.
    """

    def __init__(self, url: str, process: ManagedProcess) -> None:
        self.longest_ms = 0.0
        self._url = url
        self._schedule = Path(f"/proc/{process.pid}/task/{process.pid}/schedstat")
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Check the gateway until the context ends."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            before = self._cpu_ms()
            with urllib.request.urlopen(f"{self._url}/healthz", timeout=300) as response:
                response.read()
            self.longest_ms = max(self.longest_ms, self._cpu_ms() - before)

    def _cpu_ms(self) -> float:
        return int(self._schedule.read_text().split()[0]) / 1e6


def widest_bodies(bench: Bench) -> str:
    """Send each wide body, and watch the event loop and the peak of the memory."""
    url, process = bench.gateway(bench.workers(1))

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            for path, body in WIDE.items():
                async with session.post(f"{url}{path}", data=body, headers=JSON) as response:
                    await response.read()

    before = memory_mb(process)
    watch = PauseWatch(url, process)
    with watch.running():
        asyncio.run(run())
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return f"{watch.longest_ms:.0f} ms, {peak - before:.0f} MB"
