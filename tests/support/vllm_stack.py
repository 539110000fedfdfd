"""A local stack with vLLM, as ``make serve`` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sarlens.devstack.ports import free_port

STARTUP_TIMEOUT_S = 240
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "sarlens",
    "AWS_SECRET_ACCESS_KEY": "sarlens-local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class VllmStack:
    """A running ``sarlens local``."""

    port: int
    grpc_port: int
    s3_endpoint: str
    state: Path

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        return f"http://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead commands to this stack."""
        return {**clean_environment(), **CREDENTIALS, "AWS_ENDPOINT_URL": self.s3_endpoint, "SARLENS_URL": self.url}


def clean_environment() -> dict[str, str]:
    """Return the environment without settings, credentials and proxies, and with this environment's programs."""
    unwanted = ("AWS_", "SARLENS_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "120"}


@contextmanager
def running_vllm_stack(folder: Path) -> Iterator[VllmStack]:
    """Run a stack on free ports and in a folder; Ctrl-C ends it, and nothing is in its home directory."""
    home = folder / "home"
    home.mkdir()
    env = {**clean_environment(), "HOME": str(home), "SARLENS_GRPC__PORT": str(free_port())}
    for command in (["nano", "--out", "sarlens-nano"], ["scenes", "--out", "scenes"]):
        subprocess.run(
            [sys.executable, "-m", "sarbench", *command], cwd=folder, env=env, check=True, capture_output=True
        )
    port, log = free_port(), folder / "stack.log"
    options = ["--model", "sarlens-nano", "--scenes", "scenes", "--state", "state", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sarlens", "local", *options], cwd=folder, env=env, stdout=output, stderr=output
        )
    try:
        yield VllmStack(port, int(env["SARLENS_GRPC__PORT"]), _wait_until_ready(process, log), folder / "state")
        end_by_ctrl_c(process)
    finally:
        process.kill()
        process.wait()
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []


def end_by_ctrl_c(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Interrupt a stack: it exits with 0, and its S3 server, worker and gateway end too."""
    descendants = _descendants(process.pid)
    assert len(descendants) >= 2
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    deadline = time.monotonic() + 20
    while any(map(_is_running, descendants)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _descendants(pid: int) -> set[int]:
    descendants: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread may end at any time
            for child in task.read_text().split():
                descendants |= {int(child)} | _descendants(int(child))
    return descendants


def _is_running(pid: int) -> bool:
    """Whether a process exists and isn't a zombie that its parent hasn't waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address of the S3 server once the stack says that it is ready."""
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while "Sarlens is ready" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)
    address = re.search(r"S3 server at (http://[\w.:]+)", log.read_text())
    assert address, log.read_text()
    return address[1]
