"""Locust against real parts: the load test runs, reports, and fails when a threshold is crossed."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = Path(__file__).parents[1] / "loadtests" / "load.py"


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the load test."""
    command = [sys.executable, str(LOAD), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_the_load_test_measures_all_surfaces(tmp_path: Path) -> None:
    """Twenty seconds of the mix fail nothing and leave a report and figures of every surface, tokens included."""
    ended = run(tmp_path, "--seconds", "20", "--users", "8", "--max-p95-ms", "60000", "--max-ttft-ms", "60000")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "<html" in (tmp_path / "report.html").read_text().lower()
    with (tmp_path / "load_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    chat = "/v1/chat/completions"
    surfaces = {("POST", chat), ("POST", "/v1/sar/vqa"), ("gRPC", "/sarlens.v1.Sar/Vqa"), ("TTFT", chat)}
    assert surfaces | {("per token", chat)} <= rows.keys()
    assert all(row["Failure Count"] == "0" for row in rows.values())


@pytest.mark.slow
def test_a_crossed_threshold_fails_the_run(tmp_path: Path) -> None:
    """A run that is slower than allowed ends with a code other than 0, and says by how much."""
    ended = run(tmp_path, "--seconds", "5", "--users", "2", "--max-p95-ms", "0.1")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "more than 0" in ended.stdout
