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

_GRACE_S = 10
_PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """A child cannot run, or ended before it was asked to."""


class Child:
    """A running child and the file that it logs to."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the child is gone."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ChildFailed: it does not; the message holds the end of its log.
        """
        if self.ended:
            raise ChildFailed(f"the {self.name} ended; its log ends:\n{self.last_words()}")

    def last_words(self, lines: int = 12) -> str:
        """The end of the child's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def child(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Child]:
    """Run a command in the background; it and all that it started are ended with the context.

    It gets a process group of its own, so that a Ctrl-C reaches this process alone, which then ends the group.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  the command is the caller's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  no threads run yet
        )
    try:
        yield Child(name, process, log)
    finally:
        _end(process)


def die_with_parent() -> None:
    """Ask the kernel, where it is Linux, for a SIGTERM when the parent is killed and can end nobody."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
