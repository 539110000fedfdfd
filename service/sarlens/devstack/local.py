"""A stack on one machine: an S3 server, a vLLM worker on the CPU, and the gateway.

The servers are child processes that end with this process, however it ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from sarlens.devstack.greeting import print_greeting
from sarlens.devstack.ports import free_port, free_port_near
from sarlens.devstack.samples import sample_questions
from sarlens.devstack.seaweedfs import (
    BUCKET,
    S3_CREDENTIALS,
    find_seaweedfs,
    seaweedfs_command,
    upload_samples,
    write_identities,
)
from sarlens.devstack.state import StackInfo, StateDirectory, lock_state
from sarlens.devstack.vllm import cpu_environment, cpu_options, vllm_command
from sarlens.errors import StartupError
from sarlens.runtime.child_process import ManagedProcess, ProcessFailed, run_process
from sarlens.server.server import bind_socket, check_grpc_port, serve
from sarlens.settings import Settings

_STARTUP_TIMEOUT_S = 600
_MAX_LISTED_KEYS = 8

console = Console(stderr=True, highlight=False)


def run_local(settings: Settings, *, model: Path, scenes: Path | None, state: Path) -> None:
    """Run the stack until a signal arrives.

    REST listens on the configured port, gRPC on the next one and S3 on the one after that. If gRPC's or S3's is in
    use, another free port takes its place; the ready message and ``DIR/stack.json`` name all of them.

    Raises:
        StartupError: a directory, a package or the port is missing or in use.
        ProcessFailed: a child process ended.
    """
    _check_inputs(model, scenes)
    url = f"http://localhost:{settings.port}"
    with lock_state(state, StackInfo(pid=os.getpid(), url=url)) as held, ExitStack() as stack:
        sock = stack.enter_context(bind_socket(settings.host, settings.port))
        ports = _choose_ports(settings, sock.getsockname()[1])
        gateway_settings = _stack_settings(settings, ports, held, scenes)
        check_grpc_port(gateway_settings)
        held.write(ports.stack_info)
        # The gateway's AWS credential chain reads the environment first.
        os.environ.update(S3_CREDENTIALS)
        startup = _start_children(held, ports, model, scenes, stack)
        threading.Thread(target=startup.run, daemon=True).start()
        serve(gateway_settings, sock)
    if startup.failure:
        raise ProcessFailed(startup.failure)


def _check_inputs(model: Path, scenes: Path | None) -> None:
    """Check all that the stack requires before anything starts."""
    if not (model / "config.json").is_file():
        problem = "has no file config.json" if model.is_dir() else "doesn't exist"
        raise StartupError(f"the model directory {model} {problem}; `sarbench nano --out {model}` makes a small model")
    if scenes is not None and not scenes.is_dir():
        raise StartupError(
            f"the directory of scenes {scenes} doesn't exist; `sarbench scenes --out {scenes}` makes one"
        )
    find_seaweedfs()
    vllm_command(str(model), model.name, "127.0.0.1", 0)


@dataclass(frozen=True)
class _Ports:
    """The ports of a stack."""

    rest: int
    grpc: int | None
    s3: int
    worker: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.rest}"

    @property
    def s3_endpoint(self) -> str:
        return f"http://localhost:{self.s3}"

    @property
    def worker_url(self) -> str:
        return f"http://127.0.0.1:{self.worker}"

    @property
    def stack_info(self) -> StackInfo:
        grpc = None if self.grpc is None else f"localhost:{self.grpc}"
        return StackInfo(pid=os.getpid(), url=self.url, grpc=grpc, s3_endpoint=self.s3_endpoint)


def _choose_ports(settings: Settings, rest: int) -> _Ports:
    """Choose the ports other than that of REST; gRPC's is the configured one if a setting names it."""
    grpc = settings.grpc.port if "port" in settings.grpc.model_fields_set else free_port_near(rest + 1)
    return _Ports(rest, grpc, free_port_near(rest + 2), free_port())


def _stack_settings(settings: Settings, ports: _Ports, state: StateDirectory, scenes: Path | None) -> Settings:
    """Return the settings of the gateway, pointed at the children; a configured database and console stay."""
    console = settings.console
    if not console.scenes:
        console = console.model_copy(update={"scenes": sample_questions(scenes)})
    database = settings.survey.database or SecretStr(state.database_url)
    worker: dict[str, Any] = {"urls": (ports.worker_url,), "probe_interval_s": 0.5}
    worker["image_id_secret"] = settings.worker.image_id_secret or SecretStr(state.image_id_secret)
    return settings.model_copy(
        update={
            "grpc": settings.grpc.model_copy(update={"port": ports.grpc}),
            "s3": settings.s3.model_copy(
                update={"endpoint": ports.s3_endpoint, "region": None, "anonymous": False, "profile": None}
            ),
            "worker": settings.worker.model_copy(update=worker),
            "survey": settings.survey.model_copy(update={"database": database}),
            "files": settings.files.model_copy(update={"location": settings.files.location or str(state.files)}),
            "console": console,
            "log_level": "error",
        }
    )


def _start_children(
    state: StateDirectory, ports: _Ports, model: Path, scenes: Path | None, stack: ExitStack
) -> _Startup:
    identities = write_identities(state.path / "s3-identities.json")
    s3_command = seaweedfs_command(state.objects, ports.s3, identities)
    s3 = stack.enter_context(run_process("S3 server", s3_command, {}, state.log("s3")))
    worker_command = vllm_command(str(model), model.name, "127.0.0.1", ports.worker, cpu_options())
    environment = {**cpu_environment(), **state.cache_environment}
    worker = stack.enter_context(run_process("vLLM worker", worker_command, environment, state.log("worker")))
    return _Startup(s3, worker, ports, model.name, scenes)


@dataclass
class _Startup:
    """Waits for the children while the gateway already answers, and prints the progress."""

    s3: ManagedProcess
    worker: ManagedProcess
    ports: _Ports
    model: str
    scenes: Path | None
    failure: str | None = field(default=None, init=False)

    def run(self) -> None:
        """Wait for all parts, or end this process and keep the reason in ``failure``."""
        started_at = time.monotonic()
        try:
            with console.status("Starting the S3 server …"):
                keys = upload_samples(self.s3, self.ports.s3_endpoint, self.scenes)
            listed = ", ".join(keys[:_MAX_LISTED_KEYS]) + (" …" if len(keys) > _MAX_LISTED_KEYS else "")
            console.print(f"[green]✓[/] S3 server at {self.ports.s3_endpoint}, bucket {BUCKET}: {listed or 'empty'}")
            with console.status("Starting the vLLM worker on the CPU, which takes about a minute …"):
                _wait_for(self.worker, f"{self.ports.worker_url}/health")
                _wait_for(self.worker, f"http://127.0.0.1:{self.ports.rest}/health")
            seconds = time.monotonic() - started_at
            console.print(f"[green]✓[/] vLLM worker at {self.ports.worker_url}, ready after {seconds:.0f} s")
        except ProcessFailed as error:
            self.failure = str(error)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            print_greeting(console, self.ports.stack_info, self.model, keys)


def _wait_for(server: ManagedProcess, url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _STARTUP_TIMEOUT_S
    while time.monotonic() < deadline:
        server.raise_if_exited()
        try:
            with opener.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise ProcessFailed(
        f"the {server.name} isn't ready after {_STARTUP_TIMEOUT_S} s; its log ends:\n{server.log_tail()}"
    )
