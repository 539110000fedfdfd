"""The local stack: ports, state, and stacks side by side."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest

from sarlens.devstack.ports import free_port
from sarlens.devstack.state import StackInfo, read_running_stack
from support.cli_runner import error_line, sarlens
from support.georeferenced_scenes import geotiff, sea
from support.vllm_stack import VllmStack, end_by_ctrl_c

pytestmark = pytest.mark.s3

STUB_WORKER = Path(__file__).parents[1] / "support/workers/stub_worker.py"
STACK = """
import sys
from pathlib import Path
from sarlens.devstack import local
from sarlens.settings import load_settings

stub, model, scenes, state, port = sys.argv[1:]
local.vllm_command = lambda model, name, host, port, extra=(): [sys.executable, stub, str(port)]
local.run_local(load_settings({"port": int(port)}), model=Path(model), scenes=Path(scenes), state=Path(state))
"""
SHIPS = np.array([(100, 100), (300, 200)])


@dataclass(frozen=True)
class Stack:
    """A running stack with a stub in place of vLLM."""

    info: StackInfo
    home: Path
    state: Path
    output: str

    def get(self, path: str) -> Any:
        """Return the JSON of a path of the gateway."""
        return json.loads(fetch(self.info.url + path))


def fetch(url: str) -> bytes:
    """Return the body of a page."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return bytes(response.read())


@contextmanager
def running_stack(folder: Path, port: int) -> Iterator[Stack]:
    """Run a stack whose home and state are in a folder, until it is ready."""
    for name in ("home", "scenes", "sarlens-nano"):
        (folder / name).mkdir(parents=True)
    (folder / "sarlens-nano/config.json").write_text("{}")
    (folder / "scenes/port.tif").write_bytes(geotiff(sea(512, 512, SHIPS)))
    (folder / "scenes/2026").mkdir()
    shutil.copy(folder / "scenes/port.tif", folder / "scenes/2026")
    home, state = folder / "home", folder / "state"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SARLENS_", "XDG_"))}
    arguments = [STUB_WORKER, folder / "sarlens-nano", folder / "scenes", state, str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", STACK, *map(str, arguments)],
        env=inherited | {"HOME": str(home), "COLUMNS": "200"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output = _read_until(process, "--upload-file")
        info = read_running_stack(state)
        assert info is not None
        assert info.pid == process.pid
        yield Stack(info, home, state, output)
        end_by_ctrl_c(process)
        assert read_running_stack(state) is None
    finally:
        process.kill()
        process.wait()


def _read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr is not None
    output = ""
    while word not in output:
        line = process.stderr.readline()
        assert line, output
        output += line
    return output


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stack]]:
    """Two stacks side by side."""
    folder = tmp_path_factory.mktemp("stacks")
    with ExitStack() as stack:
        yield (
            stack.enter_context(running_stack(folder / "a", free_port())),
            stack.enter_context(running_stack(folder / "b", free_port())),
        )


def test_two_stacks_share_no_jobs(stacks: tuple[Stack, Stack], tmp_path: Path) -> None:
    """A survey of one stack is in its own database; the other stack sees neither the job nor its answers."""
    first, second = stacks
    question = "How many ships are in the image?"
    ended = sarlens(
        *("survey", "s3://scenes/port.tif", "--question", question, "--tile", "256", "--url", first.info.url),
        *("--out", str(tmp_path / "ships.geojson")),
    )
    assert ended.returncode == 0, ended.stderr
    assert "4 tiles: 4 answered, 0 without data, 0 failed" in ended.stdout
    assert f"{question} 12 in all, in 4 tiles" in ended.stdout
    assert len(first.get("/v1/sar/surveys")["data"]) == 1
    assert len(first.get("/collections/answers/items")["features"]) == 4
    assert second.get("/v1/sar/surveys")["data"] == []
    assert second.get("/collections/answers/items")["features"] == []
    assert (first.state / "jobs.db").is_file()
    assert (second.state / "jobs.db").is_file()


def test_two_stacks_share_no_objects(stacks: tuple[Stack, Stack], tmp_path: Path) -> None:
    """A local file that one stack surveys is in its bucket alone."""
    first, second = stacks
    scene = tmp_path / "own scene.tif"
    scene.write_bytes(geotiff(sea(256, 256, SHIPS[:1])))
    ended = sarlens(
        *("survey", str(scene), "--question", "Is there a ship?", "--url", first.info.url, "--state", str(first.state)),
        *("--out", str(tmp_path / "ships.geojson")),
    )
    assert ended.returncode == 0, ended.stderr
    listing = fetch(f"{first.info.s3_endpoint}/scenes?list-type=2&prefix=uploads").decode()
    (key,) = re.findall(r"<Key>(uploads/[0-9a-f]{32}/own scene\.tif)</Key>", listing)
    assert fetch(f"{first.info.s3_endpoint}/scenes/{key.replace(' ', '%20')}") == scene.read_bytes()
    assert b"<Key>" not in fetch(f"{second.info.s3_endpoint}/scenes?list-type=2&prefix=uploads")
    (feature,) = json.loads((tmp_path / "ships.geojson").read_text())["features"]
    assert feature["properties"]["image"] == f"s3://scenes/{key}"


def test_nothing_is_written_to_the_home_directory(stacks: tuple[Stack, Stack]) -> None:
    """All state of a stack, also its job database, is below its directory."""
    for stack in stacks:
        assert stack.get("/v1/sar/surveys")["object"] == "list"
        assert list(stack.home.iterdir()) == []
        names = {path.name for path in stack.state.iterdir()}
        assert {"s3", "jobs.db", "s3.log", "worker.log", "stack.json"} <= names


def test_the_bucket_is_readable_without_credentials(stacks: tuple[Stack, Stack]) -> None:
    """Any program on this machine may read the bucket, folders included; writing requires the credentials."""
    stack = stacks[0]
    url = f"{stack.info.s3_endpoint}/scenes/port.tif"
    assert fetch(url)[:4] == b"II*\0"
    assert fetch(f"{stack.info.s3_endpoint}/scenes/2026/port.tif") == fetch(url)
    for method, target in (("PUT", url), ("PUT", f"{url}x"), ("DELETE", url)):
        request = urllib.request.Request(target, b"x" if method == "PUT" else None, method=method)
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(request)
    assert fetch(url)[:4] == b"II*\0"


def test_the_ready_message_shows_how_to_use_the_stack(stacks: tuple[Stack, Stack], tmp_path: Path) -> None:
    """The message names all addresses, and its commands work: a question, and an upload by curl."""
    stack = stacks[0]
    for address in (stack.info.url, stack.info.grpc, stack.info.s3_endpoint):
        assert address is not None
        assert address in stack.output
    upload = next(line for line in stack.output.splitlines() if "--upload-file" in line)
    (tmp_path / "FILE").write_bytes(b"content")
    subprocess.run(upload, shell=True, check=True, cwd=tmp_path, timeout=30)
    assert fetch(f"{stack.info.s3_endpoint}/scenes/FILE") == b"content"
    question = next(line for line in stack.output.splitlines() if line.startswith("curl") and "chat" in line)
    asked = subprocess.run(question, shell=True, check=True, timeout=30, capture_output=True, text=True)
    assert json.loads(asked.stdout)["choices"][0]["message"]["content"] == "3"


def test_a_second_stack_of_a_directory_is_rejected(stacks: tuple[Stack, Stack]) -> None:
    """A stack with the state directory of another ends with one line that names its process and address."""
    stack = stacks[0]
    model = stack.state.parent / "sarlens-nano"
    line = error_line("local", "--model", str(model), "--state", str(stack.state), "--port", str(free_port()))
    assert f"uses the state directory {stack.state} (process {stack.info.pid}, {stack.info.url})" in line


def test_a_port_in_use_is_rejected(stacks: tuple[Stack, Stack], tmp_path: Path) -> None:
    """A stack on the port of another ends with one line that names the option."""
    stack = stacks[0]
    model = stack.state.parent / "sarlens-nano"
    port = stack.info.url.rpartition(":")[2]
    line = error_line("local", "--model", str(model), "--state", str(tmp_path / "state"), "--port", port)
    assert line == (
        f"can't listen on 127.0.0.1:{port}: Address already in use; choose another port with --port or SARLENS_PORT"
    )


def test_grpc_and_s3_take_the_next_ports(tmp_path: Path) -> None:
    """gRPC and S3 use the ports after REST's; if one is in use, a free port replaces it, and the stack starts."""
    port = _three_free_ports()
    with socket.create_server(("127.0.0.1", port + 1)), running_stack(tmp_path / "c", port) as stack:
        assert stack.info.url == f"http://localhost:{port}"
        assert stack.info.grpc not in {None, f"localhost:{port + 1}"}
        assert stack.info.s3_endpoint == f"http://localhost:{port + 2}"


def _three_free_ports() -> int:
    while True:
        port = free_port()
        with suppress(OSError, OverflowError), ExitStack() as stack:
            for offset in range(3):
                stack.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            return port


def test_inputs_are_checked_before_anything_starts(tmp_path: Path) -> None:
    """A missing model, a folder that holds none and missing scenes end the command at once; no state is made."""
    state = tmp_path / "state"
    base = ("local", "--state", str(state), "--model")
    assert "the model directory /nonexistent doesn't exist" in error_line(*base, "/nonexistent")
    (tmp_path / "model").mkdir()
    assert "has no file config.json" in error_line(*base, str(tmp_path / "model"))
    (tmp_path / "model/config.json").write_text("{}")
    line = error_line(*base, str(tmp_path / "model"), "--scenes", str(tmp_path / "scenes"))
    assert line.startswith(f"the directory of scenes {tmp_path}/scenes doesn't exist")
    assert not state.exists()


@pytest.mark.slow
def test_a_stack_with_vllm_answers(vllm_stack: VllmStack, tmp_path: Path) -> None:
    """`sarlens local` answers about a scene and shows the rendered image; a missing scene is named."""
    picture, options = tmp_path / "picture.png", ("How many ships?", "--url", vllm_stack.url)
    asked = sarlens("ask", "s3://scenes/port.tif", *options, "--show", str(picture))
    assert asked.returncode == 0, asked.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    missing = sarlens("ask", "s3://scenes/nothing.tif", *options)
    assert missing.returncode == 1
    assert "nothing.tif" in missing.stderr
