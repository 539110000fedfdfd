"""What a gateway that cannot start says, and what it starts without: one clear line, or a warning."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from sarlens.admission.quota import SharedBuckets
from sarlens.cli import app
from sarlens.errors import CannotStart
from sarlens.imagery.s3_account import Account
from sarlens.imagery.s3_check import check_store
from sarlens.ingress.grpc_server import read_credentials
from sarlens.processes import serve_many
from sarlens.seaweed import free_port
from sarlens.serve import listen
from sarlens.settings import GrpcSettings, Settings
from sarlens.survey.tables import check_database
from sarlens.workers.discovery import base_url, finder
from stack.command import sarlens
from stack.s3 import OWNER, READER, S3Server
from stack.tls import tls

NOWHERE = "http://127.0.0.1:9"
SECRET = "XyZZy-secret"
UNKEPT = "surveys cannot be kept"
SERVE = ("serve", "--worker", NOWHERE, "--port", "0")


def refused(*words: str, **environment: str) -> str:
    """The one line that a gateway says which does not start."""
    ended = sarlens(*SERVE, *words, environment=environment)
    assert ended.returncode == 1, ended
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("sarlens: ")
    assert SECRET not in ended.stderr + ended.stdout
    assert not ended.stdout
    return line


def told(*words: str) -> str:
    """The same, of what is found wrong before anything is opened, in this process."""
    ended = CliRunner().invoke(app, [*SERVE, *words])
    assert ended.exit_code == 1, ended
    assert SECRET not in ended.stderr + ended.stdout
    (line,) = ended.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SARLENS_TRACING__ENDPOINT", "collector:4318", "such as http://collector:4318"),
        ("SARLENS_TRACING__ENDPOINT", f"http://user:{SECRET}@collector:4318", "holds no login"),
        ("SARLENS_TRACING__SHARE", "2", "less than or equal to 1"),
        ("SARLENS_ACCESS_LOG", "often", "valid number"),
        ("SARLENS_WORKER__URLS", f'["http://user:{SECRET}@gpu-1:8000"]', "holds no login"),
        ("SARLENS_S3__ENDPOINT", f"ftp://{SECRET}@store?{SECRET}", "holds no login"),
    ],
)
def test_a_wrong_setting_is_named_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """A setting that cannot be meant ends the start with its name and what is wrong, never with a login in it."""
    monkeypatch.setenv(variable, value)
    line = told()
    assert f"the setting {variable}" in line
    assert said in line


def test_what_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database that cannot be opened, a store that is not there, a file .env that is no text: each is named."""
    monkeypatch.setenv("SARLENS_SURVEY__DATABASE", f"postgresql://sarlens:{SECRET}@127.0.0.1:9/jobs")
    assert "the database of jobs, postgresql://sarlens:***@127.0.0.1:9/jobs, cannot be used" in told()
    monkeypatch.setenv("SARLENS_S3__ENDPOINT", NOWHERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert f"S3 at {NOWHERE} cannot be used: it cannot be reached" in told()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"SARLENS_PORT=\xff")
    assert ".env cannot be read" in told()


def test_several_processes_say_it_once(tmp_path: Path) -> None:
    """What hinders each of several processes is one line all the same."""
    assert "keys cannot be read" in refused("--processes", "2", SARLENS_KEYS__FILE=str(tmp_path / "keys.json"))


def test_a_grpc_port_in_use_is_one_clear_line() -> None:
    """A port of gRPC that somebody else holds ends the start, with the setting that names another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(SARLENS_GRPC__PORT=str(port))
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}"), listen("127.0.0.1", 0) as rest:
            serve_many(Settings(grpc=GrpcSettings(port=port)), rest, 2)
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "SARLENS_GRPC__PORT" in line


def test_a_port_is_taken_as_soon_as_it_is_asked_for() -> None:
    """Of two gateways that start at the same time, the second learns at once that the port is taken."""
    with listen("127.0.0.1", 0) as first, pytest.raises(CannotStart, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(CannotStart, match="no name of a host"):
        listen("a..b", 0)


def test_files_of_tls_are_looked_at_first(tmp_path: Path) -> None:
    """A certificate that is missing, is none or has another key, and an authority that is none, are refused."""
    tls(tmp_path, "localhost")
    cert, key, authority = (tmp_path / name for name in ("server.pem", "server.key", "authority.pem"))
    read_credentials(cert, key, authority)
    with pytest.raises(CannotStart, match=r"cannot be read: No such file or directory: \S+missing.pem"):
        read_credentials(tmp_path / "missing.pem", key, None)
    with pytest.raises(CannotStart, match=r"No such file or directory: \S+missing.pem"):
        read_credentials(cert, key, tmp_path / "missing.pem")
    (tmp_path / "nonsense.pem").write_text(SECRET)
    for given in ((tmp_path / "nonsense.pem", key, None), (cert, tmp_path / "nonsense.pem", None)):
        with pytest.raises(CannotStart, match="of no use"):
            read_credentials(*given)
    with pytest.raises(CannotStart, match="of no use"):
        read_credentials(cert, key, tmp_path / "nonsense.pem")
    (tmp_path / "other").mkdir()
    tls(tmp_path / "other", "localhost")
    with pytest.raises(CannotStart, match="KEY_VALUES_MISMATCH"):
        read_credentials(cert, tmp_path / "other" / "server.key", None)


def test_a_database_has_to_be_writable(tmp_path: Path) -> None:
    """A file that is no database, a directory, and a place that cannot be are refused; a new file is made."""
    check_database(f"sqlite:///{tmp_path}/state/jobs.db")
    tables = sqlite3.connect(tmp_path / "state" / "jobs.db").execute("select name from sqlite_master").fetchall()
    assert ("sarlens_jobs",) in tables
    (tmp_path / "text.db").write_text("no database " * 100)
    for place in (f"{tmp_path}/text.db", str(tmp_path), "/proc/nowhere/jobs.db"):
        with pytest.raises(CannotStart, match="cannot be used"):
            check_database(f"sqlite:///{place}")
    with pytest.raises(CannotStart, match="has to be like"):
        check_database(f"mysql://user:{SECRET}@host/jobs")


def test_a_server_of_quotas_has_to_have_a_url() -> None:
    """A URL that leads to no Valkey is refused without its password."""
    with pytest.raises(CannotStart, match="redis://") as raised:
        SharedBuckets(f"http://:{SECRET}@host")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("place", [f"http://u:{SECRET}@gpu-1", f"ftp://u:{SECRET}@gpu-1?{SECRET}", f"dns://{SECRET}@a"])
def test_addresses_of_workers_hold_no_login(place: str) -> None:
    """A login in a worker's address would be shown in metrics and logs: it is refused, and not repeated."""
    for read in (base_url, finder):
        with pytest.raises(ValueError, match=r"login|base URL|names no") as raised:
            read(place)
        assert SECRET not in str(raised.value)


@contextmanager
def _website() -> Iterator[str]:
    """A server that is no S3."""

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
    check_store(Account(endpoint=endpoint, region="us-east-1", **more), "S3")


def test_a_store_is_asked_once_whether_it_knows_the_gateway(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that the store does not know are refused; a store that lets nobody list its buckets is fine."""
    with pytest.raises(CannotStart, match="no S3 credentials"):
        _check(monkeypatch, s3.endpoint, None)
    with pytest.raises(CannotStart, match="does not know the gateway's access key"):
        _check(monkeypatch, s3.endpoint, ("STRANGER", SECRET))
    with pytest.raises(CannotStart, match="secret key is not the one"):
        _check(monkeypatch, s3.endpoint, (OWNER[0], SECRET))
    with pytest.raises(CannotStart, match="profile that the gateway is set to use does not exist"):
        _check(monkeypatch, s3.endpoint, OWNER, profile="nobody")
    for keys in (OWNER, READER):
        _check(monkeypatch, s3.endpoint, keys)
    _check(monkeypatch, s3.endpoint, None, anonymous=True)
    with _website() as url, pytest.raises(CannotStart, match="does not speak S3"):
        _check(monkeypatch, url, OWNER)


async def test_it_starts_without_workers_collector_and_store() -> None:
    """A worker and a collector that cannot be reached and a place for jobs that cannot be written to are warnings, a
    store that nobody named is nothing: the gateway lives, is not ready, and ends well."""
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
            while not {"worker not ready yet", "traces do not arrive at their collector", UNKEPT} <= set(lines):
                line = json.loads(await process.stderr.readline())
                lines[line["event"]] = line
        assert {line["level"] for line in lines.values()} == {"warning"}
        assert lines["worker not ready yet"]["worker"] == NOWHERE
        async with aiohttp.ClientSession() as session:
            for page, status in (("healthz", 200), ("readyz", 503)):
                async with session.get(f"http://127.0.0.1:{port}/{page}") as response:
                    assert response.status == status
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
