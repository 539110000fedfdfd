"""A real vLLM worker on the CPU, with sarlens-nano."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sarbench.nano.checkpoint import write_trained
from sarlens.child import child
from sarlens.seaweed import free_port
from sarlens.workers.vllm import cpu_environment, cpu_options, worker_command


@contextmanager
def vllm_worker(directory: Path, *more: str) -> Iterator[str]:
    """Start it as ``sarlens local`` does, with ``more`` options, and yield its base URL."""
    model = directory / "sarlens-nano"
    write_trained(model)
    port = free_port()
    command = worker_command(str(model), model.name, "127.0.0.1", port, (*cpu_options(), *more))
    with child("vLLM worker", command, cpu_environment(), directory / "worker.log") as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 240
        while True:
            process.check()
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < deadline, process.last_words()
                time.sleep(0.2)
        yield url
