"""Parallel test runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

CONFTEST = """
from support.scheduler import ServerGroupScheduling

def pytest_xdist_make_scheduler(config, log):
    return ServerGroupScheduling(config, log)
"""
TEST_FILE = """
import os, pathlib, time, pytest

@pytest.mark.parametrize("n", range(4))
def test_process(n):
    "{docstring}"
    time.sleep(0.05)
    pathlib.Path("processes", f"{{os.getpid()}} {file} {{n}}").touch()
"""


GROUPS = {"vllm": "vllm_url", "stack": "vllm_stack", "other": ""}
"""A fixture in the docstring of each kind of file."""


@pytest.mark.slow
def test_files_and_vllm_workers_stay_in_one_process(tmp_path: Path) -> None:
    """Two processes run nine files, each file in one, and the three that share a worker or a stack in the same one."""
    (tmp_path / "processes").mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    files = {f"{name}_{n}": docstring for name, docstring in GROUPS.items() for n in range(3)}
    for name, docstring in files.items():
        (tmp_path / f"test_{name}.py").write_text(TEST_FILE.format(docstring=docstring, file=name))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "2", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    processes = defaultdict[str, list[str]](list)
    for path in (tmp_path / "processes").iterdir():
        process, file, _ = path.name.split()
        processes[file].append(process)
    assert {file: len(of_file) for file, of_file in processes.items()} == dict.fromkeys(files, 4)
    assert {len(set(of_file)) for of_file in processes.values()} == {1}
    for name in ("vllm", "stack"):
        assert len({processes[f"{name}_{n}"][0] for n in range(3)}) == 1
    assert len({of_file[0] for of_file in processes.values()}) == 2


def test_no_test_imports_a_conftest() -> None:
    """``from conftest import`` finds a different file after another directory with a ``conftest.py`` is collected."""
    tests = Path(__file__).parent.rglob("*.py")
    assert [str(path) for path in tests if "\nfrom conftest import" in path.read_text()] == []


def test_file_names_outside_packages_are_unique() -> None:
    """pytest can't collect two files of one name together if their folders aren't packages."""
    files = [file for file in Path(__file__).parent.rglob("test_*.py") if not (file.parent / "__init__.py").exists()]
    assert [name for name, count in Counter(file.name for file in files).items() if count > 1] == []
