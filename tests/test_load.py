"""Load tests: Locust against a local stack reports all surfaces and fails at a threshold; a soak writes its rows."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

import load
import local_stack
import soak
from drift_check import read
from harness import mock_worker
from workload_mix import CAPTIONS, CHAT, RPC, SURVEYS, VQA


@pytest.mark.slow
def test_the_load_test_measures_all_surfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm_url: str) -> None:
    """Locust counts each request once, without failures, and the times within responses are in a table of their own."""
    # load.py measures the process of no worker, so that a mock can replace that of the shared vLLM worker.
    monkeypatch.setattr(local_stack, "vllm_worker", lambda start, name, _: (vllm_url, mock_worker(start, name)[1]))
    lenient = [word for limit in ("p95", "ttft", "token") for word in (f"--max-{limit}-ms", "60000")]
    monkeypatch.setattr(sys, "argv", ["load.py", "--seconds", "10", "--users", "8", "--out", str(tmp_path), *lenient])
    assert load.main() == 0
    assert "<html" in (tmp_path / "report.html").read_text().lower()
    with (tmp_path / "load_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert {("POST", CHAT), ("POST", VQA), ("POST", CAPTIONS), ("POST", SURVEYS), ("gRPC", RPC)} <= rows.keys()
    assert {kind for kind, _ in rows} == {"POST", "gRPC", ""}
    with (tmp_path / "load_parts.csv").open() as file:
        parts = {(row["Measure"], row["Name"]): row for row in csv.DictReader(file)}
    assert parts.keys() == {("TTFT", CHAT), ("per token", CHAT), ("first feature", SURVEYS)}
    assert parts["TTFT", CHAT]["Count"] == rows["POST", CHAT]["Request Count"]
    assert sum(int(row["Request Count"]) for key, row in rows.items() if key[0]) == int(
        rows["", "Aggregated"]["Request Count"]
    )
    assert all(row["Failure Count"] == "0" for row in rows.values())


@pytest.mark.slow
def test_a_crossed_threshold_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that exceeds a threshold exits with 1 and prints the measured and the allowed time."""
    monkeypatch.setattr(local_stack, "vllm_worker", lambda start, name, _: mock_worker(start, name))
    options = ["--seconds", "5", "--users", "2", "--max-p95-ms", "0.1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["load.py", *options])
    assert load.main() == 1
    assert "more than 0" in capfd.readouterr().out


@pytest.mark.slow
def test_a_soak_writes_a_row_per_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short soak with a mock worker has no failures, and writes a row per interval and a plot."""
    monkeypatch.setattr(local_stack, "vllm_worker", lambda start, name, _: mock_worker(start, name))
    options = ["--minutes", "0.15", "--every-s", "3", "--ramp-s", "5", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["soak.py", *options])
    soak.main()
    rows = read(tmp_path / "soak.csv")
    assert [row["minute"] for row in rows] == [0.05, 0.1, 0.15]
    assert all(row["asked"] > 10 and not row["failed"] for row in rows), rows
    assert all(row["rss_mb"] > 50 and row["fds"] > 10 and row["threads"] > 2 for row in rows), rows
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows), rows
    assert (tmp_path / "soak.png").stat().st_size > 10_000
