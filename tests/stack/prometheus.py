"""A real Prometheus on a free port, from Debian's package."""

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

from sarlens.child import Child, child
from sarlens.seaweed import free_port

PROMETHEUS = shutil.which("prometheus") or ""
PROMTOOL = shutil.which("promtool") or ""

needs_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="needs prometheus and promtool: apt-get install prometheus"
)


def promtool(*arguments: str, given: bytes = b"") -> None:
    """Run promtool on what is ``given`` to its input; it has to find nothing wrong."""
    ended = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()


class Prometheus:
    """One that runs, and what it answers to queries."""

    def __init__(self, url: str, process: Child) -> None:
        self.url = url
        self.process = process

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of a query: labels and value of each series."""
        found = self.get("query", query=promql)
        assert found["resultType"] == "vector", promql
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def get(self, path: str, **parameters: str) -> Any:
        """What a page of its API answers."""
        where = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(where, timeout=10) as response:
            return json.load(response)["data"]


@contextmanager
def prometheus(directory: Path, targets: Mapping[str, str], *rules: Path) -> Iterator[Prometheus]:
    """Start it and yield it when it is ready. Every second it scrapes ``targets``, by job, and works out ``rules``."""
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
    with child("Prometheus", command, {}, directory / "prometheus.log") as process:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while True:
            process.check()
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < until, process.last_words()
                time.sleep(0.05)
        yield Prometheus(url, process)
