"""Time from the start of a gateway to ``/readyz`` 200, and of commands to their end: CPU time, wall time and memory.

The worker answers from memory (``stub_worker.py``). With ``--baseline``, each row is measured in another checkout as
well, in the same rounds. The memory is that of the gateway when it is ready, before it loads the libraries of images.

    .venv/bin/python loadtests/startup.py --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from harness import HERE, memory_mb, print_machine, run_ms, sarlens, spread, starter, stub_worker
from sarlens.devstack.ports import free_port
from sarlens.runtime.child_process import run_process

_POLL_S = 0.002
_TIMEOUT_S = 60.0
_READYZ = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


class Sample(NamedTuple):
    """One start."""

    cpu_ms: float
    wall_ms: float
    memory_mb: float


def is_ready(port: int) -> bool:
    """Whether ``/readyz`` of the gateway answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as sock:
            sock.sendall(_READYZ)
            return sock.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start_gateway(checkout: Path, worker_url: str, environment: Mapping[str, str], state: Path) -> Sample:
    """Start the gateway of a checkout, wait until it is ready, and end it."""
    port = free_port()
    command = [sys.executable, "-m", "sarlens", "serve", "--port", str(port), "--worker", worker_url]
    environment = {"SARLENS_LOG_LEVEL": "error", **_environment(checkout, state), **environment}
    began = time.perf_counter()
    with run_process("gateway", command, environment, state / "gateway.log") as gateway:
        while not is_ready(port):
            if gateway.has_exited or time.perf_counter() - began > _TIMEOUT_S:
                raise SystemExit(f"the gateway isn't ready:\n{gateway.log_tail()}")
            time.sleep(_POLL_S)
        return Sample(run_ms(gateway), 1000 * (time.perf_counter() - began), memory_mb(gateway))


def run_command(checkout: Path, arguments: Sequence[str], state: Path) -> Sample:
    """Run a command of a checkout until it ends."""
    began = time.perf_counter()
    environment = {**os.environ, **_environment(checkout, state)}
    command = subprocess.Popen(
        [sys.executable, "-m", "sarlens", *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    if command.returncode:
        raise SystemExit(f"sarlens {' '.join(arguments)} exited with {command.returncode}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Sample(1000 * cpu_s, 1000 * (time.perf_counter() - began), usage.ru_maxrss / 1024)


def _environment(checkout: Path, state: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(checkout.resolve() / "service"), "XDG_STATE_HOME": str(state)}


def cases(checkout: Path, worker_url: str, asked: str, state: Path) -> dict[str, Callable[[], Sample]]:
    """Return the rows of a checkout; ``asked`` is the URL of a gateway that answers questions."""

    def serve(**environment: str) -> Sample:
        return start_gateway(checkout, worker_url, environment, state)

    return {
        "serve, to ready": lambda: serve(SARLENS_GRPC__PORT=str(free_port())),
        "serve without gRPC, to ready": lambda: serve(SARLENS_GRPC__PORT="none"),
        "--help": lambda: run_command(checkout, ["--help"], state),
        "ask": lambda: run_command(checkout, ["ask", _IMAGE, "How many ships?", "--url", asked], state),
    }


def main() -> None:
    """Measure every row once a round, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--baseline", type=Path, help="another checkout, which is measured as well")
    options = parser.parse_args()
    checkouts = {"": HERE.parent, **({", baseline": options.baseline} if options.baseline else {})}
    samples: dict[str, list[Sample]] = {}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, _ = stub_worker(start, "worker")
        asked, _ = sarlens(start, [worker_url], {"XDG_STATE_HOME": str(state)})
        for number in range(options.rounds + 1):
            for suffix, checkout in checkouts.items():
                rows = cases(checkout, worker_url, asked, state)
                for name, measure in rows.items():
                    sample = measure()
                    if number:  # the first round fills the caches of files
                        samples.setdefault(name + suffix, []).append(sample)
            print(f"round {number} of {options.rounds} done", file=sys.stderr)
    print_machine()
    print(f"{'':40}CPU ms                    wall ms                   memory, MB")
    for name, row in sorted(samples.items()):
        columns = (spread(column, ".0f") for column in zip(*row, strict=True))
        print(f"{name:38}{'   '.join(f'{column:23}' for column in columns)}")


if __name__ == "__main__":
    main()
