"""Child processes that never outlive this one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sarlens.errors import StartupError

_GRACE_S = 10
_PR_SET_PDEATHSIG = 1


class ProcessFailed(StartupError):
    """A child process can't start, or ended on its own."""


class ManagedProcess:
    """A running child process and the file that it logs to."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def has_exited(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def raise_if_exited(self) -> None:
        """Make sure that the process runs.

        Raises:
            ProcessFailed: it has ended; the message holds the end of its log.
        """
        if self.has_exited:
            raise ProcessFailed(f"the {self.name} ended; its log ends:\n{self.log_tail()}")

    def log_tail(self, lines: int = 12) -> str:
        """Return the last lines of the log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def run_process(
    name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[ManagedProcess]:
    """Run a command in the background; it and its descendants end with the context.

    The command gets its own process group, so that Ctrl-C reaches only this process, which then ends the group.

    Args:
        name: name of the process in messages.
        command: the command line.
        environment: variables to add to those of this process.
        log: file for the output.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  the command is the caller's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=set_parent_death_signal,  # noqa: PLW1509  no threads run yet
        )
    try:
        yield ManagedProcess(name, process, log)
    finally:
        _terminate(process)


def set_parent_death_signal() -> None:
    """On Linux, make the kernel send this process SIGTERM when its parent is killed and can't end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
