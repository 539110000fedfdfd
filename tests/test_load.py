"""Load tests: locust against real parts runs, reports, fails where a threshold is crossed; a soak leaves its rows."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import local_stack
import soak
from flatness import read
from mix import CAPTIONS, CHAT, RPC, SURVEYS, VQA
from stand import pretend_worker

LOAD = Path(__file__).parents[1] / "loadtests" / "load.py"


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the load test."""
    command = [sys.executable, str(LOAD), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_the_load_test_measures_all_surfaces(tmp_path: Path) -> None:
    """Twenty seconds of the mix fail nothing and leave a report and figures of every surface, tokens included."""
    patient = [word for limit in ("p95", "ttft", "token") for word in (f"--max-{limit}-ms", "60000")]
    ended = run(tmp_path, "--seconds", "20", "--users", "8", *patient)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "<html" in (tmp_path / "report.html").read_text().lower()
    with (tmp_path / "load_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert {("POST", CHAT), ("POST", VQA), ("POST", CAPTIONS), ("POST", SURVEYS), ("gRPC", RPC)} <= rows.keys()
    assert {("TTFT", CHAT), ("per token", CHAT), ("first feature", SURVEYS)} <= rows.keys()
    assert all(row["Failure Count"] == "0" for row in rows.values())


@pytest.mark.slow
def test_a_crossed_threshold_fails_the_run(tmp_path: Path) -> None:
    """A run that is slower than allowed ends with a code other than 0, and says by how much."""
    ended = run(tmp_path, "--seconds", "5", "--users", "2", "--max-p95-ms", "0.1")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "more than 0" in ended.stdout


def test_a_soak_leaves_a_row_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short soak before a worker that pretends fails nothing, and has rows of the gateway and a picture."""
    monkeypatch.setattr(local_stack, "vllm_worker", lambda start, name, _: pretend_worker(start, name))
    every = ["--minutes", "0.15", "--every-s", "3", "--ramp-s", "5", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["soak.py", *every])
    soak.main()
    rows = read(tmp_path / "soak.csv")
    assert [row["minute"] for row in rows] == [0.05, 0.1, 0.15]
    assert all(row["asked"] > 10 and not row["failed"] for row in rows), rows
    assert all(row["rss_mb"] > 50 and row["fds"] > 10 and row["threads"] > 2 for row in rows), rows
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows), rows
    assert (tmp_path / "soak.png").stat().st_size > 10_000
