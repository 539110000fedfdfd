"""Everything real on this machine: an S3 server with sample scenes, a vLLM worker and a gateway before it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sarbench.nano.checkpoint import write_trained
from sarlens.child import Child
from sarlens.seaweed import BUCKET, KEYS, fill_bucket, free_port, s3_command
from stand import sarlens, starter, vllm_worker

MODEL = "sarlens-nano"


@dataclass(frozen=True)
class LocalStack:
    """Where its parts are, and which processes; ``grpc`` is an address, ``scenes`` are URLs."""

    url: str
    grpc: str
    worker_url: str
    scenes: list[str]
    gateway: Child
    worker: Child


def local_stack(stack: ExitStack) -> LocalStack:
    """Start everything; it ends with ``stack``."""
    state = Path(stack.enter_context(TemporaryDirectory()))
    start = starter(stack, state)
    print("Starting an S3 server, a vLLM worker and a gateway.", file=sys.stderr)
    write_trained(state / MODEL)
    sarbench = str(Path(sys.executable).with_name("sarbench"))
    subprocess.run([sarbench, "scenes", "--out", str(state / "scenes")], check=True, stdout=subprocess.DEVNULL)
    os.environ.update(KEYS)
    port, rpc = free_port(), free_port()
    names = fill_bucket(start("s3", s3_command(state / "s3", port), {}), f"http://127.0.0.1:{port}", state / "scenes")
    worker_url, worker = vllm_worker(start, "worker", state / MODEL)
    settings = {
        "SARLENS_S3__ENDPOINT": f"http://127.0.0.1:{port}",
        "SARLENS_GRPC__PORT": str(rpc),
        "SARLENS_SURVEY__DATABASE": f"sqlite:///{state}/jobs.db",
    }
    url, gateway = sarlens(start, [worker_url], settings)
    scenes = [f"s3://{BUCKET}/{name}" for name in names if name.endswith(".tif")]
    return LocalStack(url, f"127.0.0.1:{rpc}", worker_url, scenes, gateway, worker)
