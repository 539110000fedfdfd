"""Startup errors in one line, and dependencies that a gateway starts without."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sarlens.admission.redis_buckets import RedisTokenBuckets
from sarlens.api.grpc.server import read_credentials
from sarlens.devstack.ports import free_port
from sarlens.errors import StartupError
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_healthcheck import check_s3
from sarlens.server.server import bind_socket
from sarlens.server.supervisor import serve_multiprocess
from sarlens.settings import GrpcSettings, Settings
from sarlens.workers.discovery.base_url import normalize_base_url
from sarlens.workers.discovery.location import make_discovery
from support.cli_runner import error_line, sarlens
from support.s3 import OWNER, READER, S3Server
from support.tls import tls

NOWHERE = "http://127.0.0.1:9"
SECRET = "XyZZy-secret"
SERVE = ("serve", "--worker", NOWHERE, "--port", "0")
JOBS_WARNING = "job database not writable"


def startup_error() -> str:
    """Return the only line of a gateway that doesn't start; it holds no secret."""
    line = error_line(*SERVE)
    assert SECRET not in line
    return line


def test_an_unusable_database_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured database of jobs that doesn't answer stops the start."""
    monkeypatch.setenv("SARLENS_SURVEY__DATABASE", f"postgresql://sarlens:{SECRET}@127.0.0.1:9/jobs")
    assert "postgresql://sarlens:***@127.0.0.1:9/jobs" in startup_error()


def test_an_unreachable_store_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured S3 endpoint that doesn't answer stops the start."""
    monkeypatch.setenv("SARLENS_S3__ENDPOINT", NOWHERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert f"S3 at {NOWHERE}" in startup_error()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_file_of_keys_is_named_with_its_setting(tmp_path: Path, processes: str) -> None:
    """A file of keys that isn't a list stops one or two processes with one line: the setting and the path.

    The line before it has the addresses.
    """
    path = tmp_path / "keys.json"
    path.write_text('{"name": "gis"}')
    ended = sarlens(*SERVE, "--processes", processes, environment={"SARLENS_KEYS__FILE": str(path)})
    assert ended.returncode == 1, ended
    start, line = ended.stderr.strip().splitlines()
    assert json.loads(start)["event"] == "gateway starts"
    assert line.startswith(f"sarlens: SARLENS_KEYS__FILE: {path}: ")


def test_a_grpc_port_in_use_stops_several_processes() -> None:
    """The port of gRPC, which the processes share, is checked before they start."""
    with socket.create_server(("127.0.0.1", 0)) as taken, bind_socket("127.0.0.1", 0) as rest:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"can't listen on 127.0.0.1:{port}: .*SARLENS_GRPC__PORT"):
            serve_multiprocess(Settings(grpc=GrpcSettings(port=port)), rest, 2)


def test_a_bound_port_is_in_use_at_once() -> None:
    """Of two gateways that start at the same time, the second one learns at once that the port is in use."""
    with bind_socket("127.0.0.1", 0) as first, pytest.raises(StartupError, match="in use"):
        bind_socket("127.0.0.1", first.getsockname()[1])
    with pytest.raises(StartupError, match="no such host"):
        bind_socket("a..b", 0)


def test_files_of_tls_are_checked_first(tmp_path: Path) -> None:
    """A missing or invalid certificate, a key of another one, and an invalid authority are rejected."""
    tls(tmp_path, "localhost")
    cert, key, authority = (tmp_path / name for name in ("server.pem", "server.key", "authority.pem"))
    read_credentials(cert, key, authority)
    with pytest.raises(StartupError, match=r"can't be read: No such file or directory: \S+missing.pem"):
        read_credentials(tmp_path / "missing.pem", key, None)
    with pytest.raises(StartupError, match=r"No such file or directory: \S+missing.pem"):
        read_credentials(cert, key, tmp_path / "missing.pem")
    (tmp_path / "nonsense.pem").write_text(SECRET)
    for files in ((tmp_path / "nonsense.pem", key, None), (cert, tmp_path / "nonsense.pem", None)):
        with pytest.raises(StartupError, match="invalid gRPC certificate"):
            read_credentials(*files)
    with pytest.raises(StartupError, match="invalid gRPC certificate"):
        read_credentials(cert, key, tmp_path / "nonsense.pem")
    (tmp_path / "other").mkdir()
    tls(tmp_path / "other", "localhost")
    with pytest.raises(StartupError, match="KEY_VALUES_MISMATCH"):
        read_credentials(cert, tmp_path / "other" / "server.key", None)


def test_the_server_of_quotas_needs_a_redis_url() -> None:
    """A URL of another scheme is rejected, and the error doesn't repeat its password."""
    with pytest.raises(StartupError, match="redis://") as raised:
        RedisTokenBuckets(f"http://:{SECRET}@host")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "location", [f"http://u:{SECRET}@gpu-1", f"ftp://u:{SECRET}@gpu-1?{SECRET}", f"dns://{SECRET}@a"]
)
def test_addresses_of_workers_hold_no_login(location: str) -> None:
    """A login in a worker's address, which metrics and logs would show, is rejected and not repeated."""
    for parse in (normalize_base_url, make_discovery):
        with pytest.raises(ValueError, match=r"credentials|such as") as raised:
            parse(location)
        assert SECRET not in str(raised.value)


@contextmanager
def _website() -> Iterator[str]:
    """A web server that doesn't speak S3."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _check(monkeypatch: pytest.MonkeyPatch, endpoint: str, keys: tuple[str, str] | None, **more: Any) -> None:
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys or (), strict=False):
        monkeypatch.setenv(name, value)
    check_s3(S3StoreFactory(endpoint=endpoint, region="us-east-1", **more), "S3")


def test_the_store_is_checked_once(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown credentials are rejected; credentials without the right to list buckets are accepted."""
    with pytest.raises(StartupError, match="no S3 credentials"):
        _check(monkeypatch, s3.endpoint, None)
    with pytest.raises(StartupError, match="doesn't know the gateway's access key"):
        _check(monkeypatch, s3.endpoint, ("STRANGER", SECRET))
    with pytest.raises(StartupError, match="secret key is wrong"):
        _check(monkeypatch, s3.endpoint, (OWNER[0], SECRET))
    with pytest.raises(StartupError, match="profile that the gateway is configured to use doesn't exist"):
        _check(monkeypatch, s3.endpoint, OWNER, profile="missing")
    for keys in (OWNER, READER):
        _check(monkeypatch, s3.endpoint, keys)
    _check(monkeypatch, s3.endpoint, None, anonymous=True)
    with _website() as url, pytest.raises(StartupError, match="doesn't speak S3"):
        _check(monkeypatch, url, OWNER)


@pytest.mark.slow
async def test_it_starts_without_workers_collector_and_store() -> None:
    """An unreachable worker, an unreachable collector and a database that can't be written are warnings. The gateway
    is alive but not ready, and ends with exit code 0."""
    port = free_port()
    command = ["-m", "sarlens", "serve", "--worker", NOWHERE, "--port", str(port)]
    environment = {
        "SARLENS_TRACING__ENDPOINT": NOWHERE,
        "SARLENS_GRPC__PORT": "none",
        "PATH": "",
        "HOME": "/nonexistent",
        "XDG_STATE_HOME": __file__,
    }
    environment |= {"PYTHONPATH": ":".join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        lines: dict[str, dict[str, Any]] = {}
        async with asyncio.timeout(30):
            while not {"worker not ready yet", "trace collector does not accept spans", JOBS_WARNING} <= set(lines):
                line = json.loads(await process.stderr.readline())
                lines[line["event"]] = line
        assert lines.pop("gateway starts")["rest"] == f"http://127.0.0.1:{port}"
        assert {line["level"] for line in lines.values()} == {"warning"}
        assert lines["worker not ready yet"]["worker"] == NOWHERE
        async with aiohttp.ClientSession() as session:
            for page, status in (("healthz", 200), ("readyz", 200), ("health", 503)):
                async with session.get(f"http://127.0.0.1:{port}/{page}") as response:
                    assert response.status == status
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
