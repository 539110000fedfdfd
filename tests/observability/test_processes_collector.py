"""Metrics of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from sarlens.observability.metrics import Metrics, WorkerMetrics
metrics = Metrics()
for url in ("http://a", "http://b"):
    worker = WorkerMetrics(metrics, url)
    worker.ready.set(1)
    worker.failures.inc(3)
    worker.hits.inc(2)
    if url == "http://a":
        worker.remove()
metrics.errors.labels("no_worker").inc()
print(metrics.expose("")[0].decode())
"""


@pytest.mark.slow
def test_series_of_departed_workers_end(tmp_path: Path) -> None:
    """If processes share a directory, a worker that left has no series, and one that stayed keeps its values."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    page = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert "http://a" not in page
    for line in (
        'sarlens_worker_ready{worker="http://b"} 1.0',
        'sarlens_worker_failures_total{worker="http://b"} 3.0',
        'sarlens_worker_affinity_requests_total{result="hit",worker="http://b"} 2.0',
        'sarlens_errors_total{code="no_worker"} 1.0',
    ):
        assert line in page
