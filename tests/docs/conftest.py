"""One local stack for all pages, and a shell that runs their blocks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from docs.code_blocks import ROOT
from sarlens.devstack.ports import free_port

STARTUP_TIMEOUT_S = 240
BLOCK_TIMEOUT_S = 180
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "sarlens",
    "AWS_SECRET_ACCESS_KEY": "sarlens-local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PROGRAMS = Path(sys.executable).parent
# An HTTP error fails the block, as a reader would notice it.
CURL = f"""#!/bin/sh
case " $* " in *" --fail"* | *" -f "*) exec {shutil.which("curl")} "$@" ;; esac
exec {shutil.which("curl")} --fail-with-body "$@"
"""


@dataclass(frozen=True)
class Stack:
    """A running ``sarlens local``."""

    port: int
    grpc_port: int
    s3_endpoint: str
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead commands to this stack."""
        return {
            **clean_environment(),
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "SARLENS_URL": f"http://localhost:{self.port}",
        }

    @property
    def ports(self) -> dict[str, str]:
        """The default port of each server, and the one of this stack."""
        return {"8080": str(self.port), "8081": str(self.grpc_port), "8082": self.s3_endpoint.rpartition(":")[2]}

    def with_own_ports(self, code: str) -> str:
        """Replace the default ports in a block by those of this stack."""
        return re.sub(
            r"\b(localhost|127\.0\.0\.1):(808[012])\b", lambda match: f"{match[1]}:{self.ports[match[2]]}", code
        )

    def with_default_ports(self, output: str) -> str:
        """Replace the ports of this stack in an output by the default ones."""
        for default, own in self.ports.items():
            output = output.replace(f":{own}", f":{default}")
        return output


@dataclass
class Shell:
    """Runs the blocks of one page in one folder; variables stay from block to block."""

    folder: Path
    environment: Mapping[str, str]
    _variables: Path = field(init=False)

    def __post_init__(self) -> None:
        self._variables = self.folder.parent / f"{self.folder.name}.variables"
        self._variables.touch()

    def bash(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code``. A command that fails, anywhere in a pipeline, ends the block."""
        save = f"trap 'export -p >{self._variables}' EXIT"
        return self._run(["bash", "-c", f". {self._variables}\n{save}\nset -ea -o pipefail\n{code}"])

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in a fresh interpreter, with the variables of earlier blocks."""
        script = self.folder.parent / f"{self.folder.name}.py"
        script.write_text(code)
        return self._run(["bash", "-c", f". {self._variables}; exec python {script}"])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=BLOCK_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no end within {BLOCK_TIMEOUT_S} s")


def clean_environment() -> dict[str, str]:
    """Return the environment without settings, credentials and proxies, and with this environment's programs."""
    unwanted = ("AWS_", "SARLENS_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "120"}


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start what ``make serve`` starts, on free ports and in a folder of its own."""
    folder = tmp_path_factory.mktemp("local")
    env = {**clean_environment(), "HOME": str(folder), "SARLENS_GRPC__PORT": str(free_port())}
    for command in (["nano", "--out", "sarlens-nano"], ["scenes", "--out", "scenes"]):
        subprocess.run(
            [sys.executable, "-m", "sarbench", *command], cwd=folder, env=env, check=True, capture_output=True
        )
    port, log = free_port(), folder / "stack.log"
    options = ["--model", "sarlens-nano", "--scenes", "scenes", "--state", "state", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sarlens", "local", *options], cwd=folder, env=env, stdout=output, stderr=output
        )
    try:
        yield Stack(port, int(env["SARLENS_GRPC__PORT"]), _wait_until_ready(process, log), folder / "state")
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address of the S3 server once the stack says that it is ready."""
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while "Sarlens is ready" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)
    address = re.search(r"S3 server at (http://[\w.:]+)", log.read_text())
    assert address, log.read_text()
    return address[1]


@pytest.fixture
def shell(local_stack: Stack, tmp_path: Path) -> Shell:
    """A shell in a folder like a checkout: it has ``.venv``, ``.local`` and the repository's folders."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".local").symlink_to(local_stack.state)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "curl").write_text(CURL)
    (programs / "curl").chmod(0o755)
    for name in ("examples", "helm", "loadtests", "service", "tests"):
        (folder / name).symlink_to(ROOT / name)
    environment = local_stack.environment
    return Shell(folder, {**environment, "HOME": str(tmp_path), "PATH": f"{programs}:{environment['PATH']}"})
