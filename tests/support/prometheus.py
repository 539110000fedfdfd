"""Prometheus on a free port, from the Debian package."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sarlens.devstack.ports import free_port
from sarlens.runtime.child_process import ManagedProcess, run_process

PROMETHEUS = shutil.which("prometheus") or ""
PROMTOOL = shutil.which("promtool") or ""

needs_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="needs prometheus and promtool: apt-get install prometheus"
)


def promtool(*arguments: str, given: bytes = b"") -> None:
    """Run promtool with ``given`` as its input, and assert that it succeeds."""
    process = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, timeout=120, check=False)
    assert process.returncode == 0, (process.stdout + process.stderr).decode()


class Prometheus:
    """A running Prometheus server."""

    def __init__(self, url: str, process: ManagedProcess) -> None:
        self.url = url
        self.process = process

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Return the instant vector of a query: labels and value of each series."""
        data = self.get("query", query=promql)
        assert data["resultType"] == "vector", promql
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an HTTP API endpoint."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]


@contextmanager
def prometheus(directory: Path, targets: Mapping[str, str], *rules: Path) -> Iterator[Prometheus]:
    """Start Prometheus and yield it when it is ready.

    It scrapes ``targets``, URLs by job, and evaluates ``rules`` every second.
    """
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://")]}]}
        for job, url in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": jobs,
    }
    file, port = directory / "prometheus.yaml", free_port()
    file.write_text(yaml.safe_dump(config))
    command = [PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with run_process("Prometheus", command, {}, directory / "prometheus.log") as process:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while True:
            process.raise_if_exited()
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, process.log_tail()
                time.sleep(0.05)
        yield Prometheus(url, process)
