"""Several processes with one socket: they start together, are replaced when they end, and drain together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType

import structlog
from pydantic import SecretStr

from sarlens.bootstrap.gateway import image_id_secret
from sarlens.errors import StartupError
from sarlens.observability.logging import configure_logging
from sarlens.observability.metrics import MULTIPROC_DIR_ENV, remove_process
from sarlens.runtime.child_process import set_parent_death_signal
from sarlens.server.process_limits import divide_limits
from sarlens.server.server import EXIT_REQUESTS_ABORTED, bind_management_socket, check_grpc_port, log_addresses, serve
from sarlens.settings import Settings

log = structlog.get_logger(__name__)

_STARTUP_FAILURE_WINDOW_S = 5.0


class WorkerProcessFailed(StartupError):
    """A process ended within seconds of its start, so that a restart wouldn't help."""


def serve_multiprocess(settings: Settings, sock: socket.socket, processes: int) -> bool:
    """Serve with several processes until SIGINT or SIGTERM; each one drains on its own.

    The processes share the quotas of API keys and the metrics, and each has its part of the admission limits. Caches
    and the indexes of the workers' images are per process.

    Returns:
        Whether all open requests finished.

    Raises:
        BindError: another program uses the port of gRPC or of management, which the processes share.
        WorkerProcessFailed: a process ended within seconds of its start.
    """
    check_grpc_port(settings)
    configure_logging(settings.log_level)
    # One secret for all processes, also if none can be kept.
    worker = settings.worker.model_copy(update={"image_id_secret": SecretStr(image_id_secret(settings))})
    settings = settings.model_copy(update={"worker": worker})
    with tempfile.TemporaryDirectory(prefix="sarlens-") as folder:
        os.environ[MULTIPROC_DIR_ENV] = folder
        management_sock = bind_management_socket(settings)
        log_addresses(settings, sock, management_sock, processes)
        return ProcessSupervisor(divide_limits(settings, processes), sock, management_sock, Path(folder)).run(processes)


class ProcessSupervisor:
    """Starts the processes, replaces those that end, and forwards signals."""

    def __init__(
        self, settings: Settings, sock: socket.socket, management_sock: socket.socket | None, shared_folder: Path
    ) -> None:
        self._settings = settings
        self._shared_folder = shared_folder
        self._sock = sock
        self._management_sock = management_sock
        self._running: dict[SpawnProcess, float] = {}
        self._spawn = multiprocessing.get_context("spawn")
        self._startup_errors = self._spawn.SimpleQueue()
        self._ending = False
        self._failed = False
        self._exit_codes: set[int] = set()

    def run(self, processes: int) -> bool:
        """Run this many processes until all have exited; False if one aborted requests."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._forward_signal)
        for _ in range(processes):
            self._start()
        while self._running:
            wait([process.sentinel for process in self._running], timeout=1)
            for process in [process for process in self._running if not process.is_alive()]:
                self._on_exit(process)
        if self._failed:
            unknown = "a process of the gateway ended within seconds of its start; the log says why"
            raise WorkerProcessFailed(unknown if self._startup_errors.empty() else self._startup_errors.get())
        # A process that a signal ended before it served anything had no requests to finish.
        return self._exit_codes <= {0, -signal.SIGTERM, -signal.SIGINT}

    def _start(self) -> None:
        args = self._settings, self._sock, self._management_sock, self._shared_folder, self._startup_errors
        process = self._spawn.Process(target=_run_worker, args=args)
        process.start()
        self._running[process] = time.monotonic()

    def _on_exit(self, process: SpawnProcess) -> None:
        started_at, code = self._running.pop(process), process.exitcode or 0
        remove_process(process.pid or 0)
        if self._ending:
            self._exit_codes.add(code)
        elif code > 0 and (
            time.monotonic() - started_at < _STARTUP_FAILURE_WINDOW_S or not self._startup_errors.empty()
        ):
            self._failed = True
            self._forward_signal(signal.SIGTERM, None)
        else:
            log.warning("process ended and is replaced", exit_code=code)
            self._start()

    def _forward_signal(self, signum: int, _: FrameType | None) -> None:
        self._ending = True
        for process in self._running:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signum)


def _run_worker(
    settings: Settings,
    sock: socket.socket,
    management_sock: socket.socket | None,
    shared_folder: Path,
    startup_errors: SimpleQueue[str],
) -> None:
    """Serve in a child process. Only the parent receives Ctrl-C, and reports why a process can't start."""
    os.setpgrp()
    set_parent_death_signal()
    try:
        finished = serve(settings, sock, shared_folder=shared_folder, management_sock=management_sock)
    except StartupError as error:
        startup_errors.put(str(error))
        raise SystemExit(1) from None
    raise SystemExit(0 if finished else EXIT_REQUESTS_ABORTED)
