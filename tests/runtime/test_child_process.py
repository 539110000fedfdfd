"""Child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sarlens.errors import StartupError
from sarlens.runtime.child_process import run_process

GRANDCHILD = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
import time; time.sleep(600)
"""
PARENT = """
import pathlib, sys, time
from sarlens.runtime.child_process import run_process

with run_process("sleeper", ["sleep", "600"], {}, pathlib.Path(sys.argv[1])) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process exists and isn't a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_descendants_end_with_the_context(tmp_path: Path) -> None:
    """The end of the context ends the process and its own child."""
    log = tmp_path / "log"
    with run_process("parent", [sys.executable, "-c", GRANDCHILD], {}, log) as process:
        while not log.read_text().strip():
            time.sleep(0.02)
        grandchild = int(log.read_text())
        assert is_running(process.pid)
        assert is_running(grandchild)
    wait_until_gone(process.pid)
    wait_until_gone(grandchild)


def test_an_ended_process_is_reported_with_its_log(tmp_path: Path) -> None:
    """The error names the process and holds the last 12 lines of its log."""
    script = "print(*range(20), sep='\\n')"
    with run_process("counter", [sys.executable, "-c", script], {"A": "b"}, tmp_path / "log") as process:
        while not process.has_exited:
            time.sleep(0.02)
        with pytest.raises(StartupError) as raised:
            process.raise_if_exited()
    assert str(raised.value).splitlines() == ["the counter ended; its log ends:", *map(str, range(8, 20))]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """The kernel ends the child of a process that got SIGKILL."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until_gone(child)
