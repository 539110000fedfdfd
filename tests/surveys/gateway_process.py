"""A gateway in a separate process, for tests that kill it or run commands against it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from support.gateway import until_it_answers


@asynccontextmanager
async def gateway_process(environment: Mapping[str, str], port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run ``sarlens serve`` on a port, and yield the process when the gateway is ready."""
    command = [sys.executable, "-m", "sarlens", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await until_it_answers(f"http://127.0.0.1:{port}/health")
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
