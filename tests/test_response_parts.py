"""Times within the responses of a Locust run, over several Locust processes.

Each test runs in a process of its own, because Locust replaces the sockets of the process that imports it.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOADTESTS = Path(__file__).parents[1] / "loadtests"
DISTRIBUTED = """
from locust import events
from response_parts import PER_TOKEN, TTFT, record_part, write_parts

reports = []
for seconds in (0.1, 0.2, 0.3):
    record_part(TTFT, "/chat", seconds)
    data = {}
    events.report_to_master.fire(client_id="a", data=data)
    reports.append(data)
for report in reports:
    events.worker_report.fire(client_id="a", data=report)
record_part(PER_TOKEN, "/chat", 0.02)
write_parts("load")
"""
NOTHING = "from response_parts import write_parts; write_parts('load')"


def run(script: str, folder: Path) -> str:
    """Run a script in ``folder``, and return its output."""
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(LOADTESTS)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_master_adds_the_times_of_its_workers(tmp_path: Path) -> None:
    """Three reports of a Locust worker are one row of the master, and each time is counted once."""
    assert "TTFT" in run(DISTRIBUTED, tmp_path)
    with (tmp_path / "load_parts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["Measure"], row["Count"], row["p50"], row["p99"]) for row in rows] == [
        ("TTFT", "3", "200", "300"),
        ("per token", "1", "20", "20"),
    ]


def test_without_streams_nothing_is_written(tmp_path: Path) -> None:
    """A run without streams prints no table and writes no file."""
    assert run(NOTHING, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
