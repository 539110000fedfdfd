"""The command line, as a person uses it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from sarlens.settings import Settings, WorkerSettings
from stack.command import sarlens
from stack.fake_worker import FakeWorker
from stack.gateway import gateway


def test_help_teaches() -> None:
    """--help names every command, and that of a command shows an example."""
    listing = sarlens("--help").stdout
    assert all(command in listing for command in ("serve", "local", "worker", "ask", "settings"))
    assert "sarlens serve --worker http://gpu-1:8000" in sarlens("serve", "--help").stdout


def test_serving_without_workers_is_refused() -> None:
    """A gateway without a worker has nothing to serve and says how to name one."""
    ended = sarlens("serve")
    assert ended.returncode == 1
    assert "--worker http://host:8000" in ended.stderr


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"SARLENS_PORT": "many"}, "SARLENS_PORT"),
        ({"SARLENS_RENDER__SIZE": "1"}, "SARLENS_RENDER__SIZE"),
        ({"SARLENS_WORKER__URLS": '["gpu-1"]'}, "SARLENS_WORKER__URLS"),
        ({"SARLENS_S3__NOTHING": "1"}, "SARLENS_S3__NOTHING"),
        ({"SARLENS_CACHE__PICTURE_BYTES": "-1"}, "SARLENS_CACHE__PICTURE_BYTES"),
        ({"SARLENS_HTTPS__HOSTS": "not json"}, "https"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(environment: dict[str, str], name: str) -> None:
    """A wrong setting ends the start with one line that names its variable."""
    ended = sarlens("serve", "--worker", "http://127.0.0.1:9", environment=environment)
    assert ended.returncode == 1
    assert name in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_one_clear_line() -> None:
    """A port that somebody else holds ends the start before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = sarlens("serve", "--worker", "http://127.0.0.1:9", "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_asking_without_a_gateway_says_so() -> None:
    """`sarlens ask` with no gateway behind the URL says how to start one."""
    ended = sarlens("ask", "s3://scenes/port.tif", "?", "--url", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "make serve" in ended.stderr


def test_asking_with_a_wrong_window_says_so() -> None:
    """`sarlens ask` refuses a window that is none before it asks anybody."""
    ended = sarlens("ask", "s3://scenes/port.tif", "?", "--window", "1,2,3")
    assert ended.returncode == 1
    assert "sar.window" in ended.stderr


async def test_a_signal_ends_the_gateway_cleanly(worker: FakeWorker) -> None:
    """SIGTERM lets the gateway end by itself, with exit code 0."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["-m", "sarlens", "serve", "--worker", worker.url, "--port", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while not await _alive(session, f"http://127.0.0.1:{port}/readyz"):
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()


async def _alive(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


@pytest.mark.slow
def test_local_answers_about_its_own_scenes_and_leaves_nobody_behind(tmp_path: Path) -> None:
    """`sarlens local` brings up S3, worker and gateway, answers about a scene, and Ctrl-C ends every process."""
    bench = [sys.executable, "-m", "sarbench"]
    subprocess.run([*bench, "nano", "--out", str(tmp_path / "sarlens-nano")], check=True, timeout=120)
    subprocess.run([*bench, "scenes", "--out", str(tmp_path / "scenes")], check=True, timeout=120)
    (tmp_path / "scenes" / "2026").mkdir()
    (tmp_path / "scenes" / "port.tif").rename(tmp_path / "scenes" / "2026" / "port.tif")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ["--model", "sarlens-nano", "--scenes", "scenes", "--state", "state", "--port", str(port)]
    command = [sys.executable, "-m", "sarlens", "local", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        told = b""
        while b"--show picture.png" not in told:
            line = process.stderr.readline()
            assert line, told.decode()
            told += line
        family = _descendants(process.pid)
        assert len(family) >= 2
        picture = tmp_path / "picture.png"
        url = f"http://127.0.0.1:{port}"
        asked = sarlens("ask", "s3://scenes/2026/port.tif", "How many ships?", "--url", url, "--show", str(picture))
        assert asked.returncode == 0, asked.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")
        missing = sarlens("ask", "s3://scenes/nothing.tif", "How many ships?", "--url", url)
        assert missing.returncode == 1
        assert "nothing.tif" in missing.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in family):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread may end while it is looked at
            for child in task.read_text().split():
                found |= {int(child)} | _descendants(int(child))
    return found


async def test_an_idle_connection_outlives_a_load_balancers(worker: FakeWorker) -> None:
    """A connection is kept for longer than the 5 s that are uvicorn's default: whoever pools connections, and keeps an
    idle one for 15 s or 60 s, does not send a request on one that is just being closed."""
    async with gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        for idle_s in (6, 0):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"}")
            await asyncio.sleep(idle_s)
        writer.close()
