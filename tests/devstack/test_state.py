"""The state directory of a local stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sarlens.devstack.state import StackInfo, lock_state, read_running_stack
from sarlens.errors import StartupError

INFO = StackInfo(pid=123, url="http://localhost:8080", s3_endpoint="http://localhost:8082")

HOLD = """
import pathlib, sys, time
from sarlens.devstack.state import StackInfo, lock_state

with lock_state(pathlib.Path(sys.argv[1]), StackInfo(pid=1, url="http://localhost:9000")):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_directory_has_one_stack(tmp_path: Path) -> None:
    """A second stack is rejected with the process and the address of the first; afterwards the directory is free."""
    state = tmp_path / "new" / "state"
    with lock_state(state, INFO):
        assert read_running_stack(state) == INFO
        with pytest.raises(StartupError) as raised, lock_state(state, INFO):
            pass
        assert str(raised.value) == (
            f"another local stack uses the state directory {state} (process 123, http://localhost:8080); "
            "stop it, or choose another directory with --state"
        )
    assert read_running_stack(state) is None
    with lock_state(state, INFO):
        pass


def test_a_killed_stack_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel releases the lock of a process that got SIGKILL, and its addresses no longer count."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        running = read_running_stack(tmp_path)
        assert running is not None
        assert running.url == "http://localhost:9000"
        with pytest.raises(StartupError, match="process 1, http://localhost:9000"), lock_state(tmp_path, INFO):
            pass
        holder.kill()
        holder.wait()
    assert json.loads((tmp_path / "stack.json").read_text())["pid"] == 1
    assert read_running_stack(tmp_path) is None
    with lock_state(tmp_path, INFO):
        assert read_running_stack(tmp_path) == INFO


def test_all_state_is_below_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects, logs, database and caches are below the directory, also if it is relative."""
    monkeypatch.chdir(tmp_path)
    with lock_state(Path("state"), INFO) as state:
        assert state.database_url == f"sqlite:///{tmp_path}/state/jobs.db"
        assert state.files == tmp_path / "state/files"
        paths = [state.objects, state.log("worker"), *map(Path, state.cache_environment.values())]
        assert all(path.resolve().is_relative_to(tmp_path / "state") for path in paths)
        assert {"VLLM_CACHE_ROOT", "XDG_CACHE_HOME", "HF_HOME"} <= state.cache_environment.keys()


def test_an_unusable_directory_is_an_error(tmp_path: Path) -> None:
    """A path below a file is reported in one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="can't be used: Not a directory"), lock_state(tmp_path / "file" / "x", INFO):
        pass
