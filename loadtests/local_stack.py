"""Local stack: an S3 server with sample scenes, a vLLM worker, and a gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import sarlens, starter, vllm_worker
from sarbench.nano.checkpoint import write_trained
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import BUCKET, S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.runtime.child_process import ManagedProcess

MODEL = "sarlens-nano"


@dataclass(frozen=True)
class LocalStack:
    """Addresses and processes of a running stack."""

    url: str
    """Base URL of the gateway."""
    grpc: str
    """gRPC address of the gateway, as ``host:port``."""
    worker_url: str
    scenes: list[str]
    """S3 URLs of the sample scenes."""
    gateway: ManagedProcess
    worker: ManagedProcess


def local_stack(stack: ExitStack) -> LocalStack:
    """Start all processes; they end with ``stack``."""
    state = Path(stack.enter_context(TemporaryDirectory()))
    start = starter(stack, state)
    print("Starting an S3 server, a vLLM worker and a gateway.", file=sys.stderr)
    write_trained(state / MODEL)
    sarbench = str(Path(sys.executable).with_name("sarbench"))
    subprocess.run([sarbench, "scenes", "--out", str(state / "scenes")], check=True, stdout=subprocess.DEVNULL)
    os.environ.update(S3_CREDENTIALS)
    port, grpc_port = free_port(), free_port()
    names = upload_samples(
        start("s3", seaweedfs_command(state / "s3", port), {}), f"http://127.0.0.1:{port}", state / "scenes"
    )
    worker_url, worker = vllm_worker(start, "worker", state / MODEL)
    settings = {
        "SARLENS_S3__ENDPOINT": f"http://127.0.0.1:{port}",
        "SARLENS_GRPC__PORT": str(grpc_port),
        "SARLENS_SURVEY__DATABASE": f"sqlite:///{state}/jobs.db",
    }
    url, gateway = sarlens(start, [worker_url], settings)
    scenes = [f"s3://{BUCKET}/{name}" for name in names if name.endswith(".tif")]
    return LocalStack(url, f"127.0.0.1:{grpc_port}", worker_url, scenes, gateway, worker)
