"""vLLM worker on the CPU, with sarlens-nano."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sarlens.devstack.ports import free_port
from sarlens.devstack.vllm import cpu_environment, cpu_options, vllm_command
from sarlens.runtime.child_process import run_process


@contextmanager
def vllm_worker(directory: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a worker as ``sarlens local`` does, with further options and variables, and yield its base URL."""
    from sarbench.nano.checkpoint import write_trained  # noqa: PLC0415  tests without a worker don't need torch

    model = directory / "sarlens-nano"
    write_trained(model)
    port = free_port()
    command = vllm_command(str(model), model.name, "127.0.0.1", port, (*cpu_options(), *options))
    variables = {**cpu_environment(), **(environment or {})}
    with run_process("vLLM worker", command, variables, directory / "worker.log") as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 240
        while True:
            process.raise_if_exited()
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < deadline, process.log_tail()
                time.sleep(0.2)
        yield url
