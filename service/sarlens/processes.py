"""Several processes behind one socket: they start together, are replaced when they die, and drain together."""

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
from types import FrameType

import structlog

from sarlens.child import die_with_parent
from sarlens.errors import CannotStart
from sarlens.log import configure_logging
from sarlens.metrics import SHARED_FOLDER, forget_process
from sarlens.serve import CUT, serve, try_grpc
from sarlens.settings import Settings

log = structlog.get_logger(__name__)

_SOON_S = 5.0


class CrewFailed(CannotStart):
    """A process ended as soon as it had begun, so that starting it again is of no use."""


def serve_many(settings: Settings, taken: socket.socket, processes: int) -> bool:
    """Serve with several processes until SIGINT or SIGTERM; each drains for itself.

    Each has its own queue, caches and memory of what workers hold; metrics are those of all together.

    Returns:
        Whether all open requests could finish.

    Raises:
        CannotListen: the port of gRPC, which the processes will share, is somebody else's.
        CrewFailed: a process ended by itself within seconds.
    """
    configure_logging(settings.log_level)
    try_grpc(settings)
    with tempfile.TemporaryDirectory(prefix="sarlens-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        return _Crew(settings, taken).run(processes)


class _Crew:
    """The processes that are running, and since when."""

    def __init__(self, settings: Settings, taken: socket.socket) -> None:
        self._settings = settings
        self._taken = taken
        self._running: dict[SpawnProcess, float] = {}
        self._spawn = multiprocessing.get_context("spawn")
        self._reasons = self._spawn.SimpleQueue()
        self._ending = False
        self._failed = False
        self._codes: set[int] = set()

    def run(self, processes: int) -> bool:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)
        for _ in range(processes):
            self._start()
        while self._running:
            wait([process.sentinel for process in self._running], timeout=1)
            for process in [each for each in self._running if not each.is_alive()]:
                self._ended(process)
        if self._failed:
            unknown = "a process of the gateway ended by itself as soon as it had begun; the log says why"
            raise CrewFailed(unknown if self._reasons.empty() else self._reasons.get())
        # One that the signal met before it served anything had nothing to finish.
        return self._codes <= {0, -signal.SIGTERM, -signal.SIGINT}

    def _start(self) -> None:
        process = self._spawn.Process(target=_work, args=(self._settings, self._taken, self._reasons))
        process.start()
        self._running[process] = time.monotonic()

    def _ended(self, process: SpawnProcess) -> None:
        began, code = self._running.pop(process), process.exitcode or 0
        forget_process(process.pid or 0)
        if self._ending:
            self._codes.add(code)
        elif code > 0 and (time.monotonic() - began < _SOON_S or not self._reasons.empty()):
            self._failed = True
            self._pass_on(signal.SIGTERM, None)
        else:
            log.warning("process ended; another one takes its place", exit_code=code)
            self._start()

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._ending = True
        for process in self._running:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)


def _work(settings: Settings, taken: socket.socket, reasons: SimpleQueue[str]) -> None:
    """What each process does. A Ctrl-C reaches it by way of its parent alone, which also tells why one cannot start."""
    os.setpgrp()
    die_with_parent()
    try:
        finished = serve(settings, taken, shared=True)
    except CannotStart as error:
        reasons.put(str(error))
        raise SystemExit(1) from None
    raise SystemExit(0 if finished else CUT)
