"""A shell that runs the blocks of a page against the local stack."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from docs.code_blocks import ROOT
from support.vllm_stack import VllmStack

BLOCK_TIMEOUT_S = 180
# An HTTP error fails the block, as a reader would notice it.
CURL = f"""#!/bin/sh
case " $* " in *" --fail"* | *" -f "*) exec {shutil.which("curl")} "$@" ;; esac
exec {shutil.which("curl")} --fail-with-body "$@"
"""


@dataclass
class Shell:
    """Runs the blocks of one page in one folder; variables stay from block to block."""

    folder: Path
    environment: Mapping[str, str]
    ports: Mapping[str, str]
    """The default port of each server, and the one of the running stack."""
    _variables: Path = field(init=False)

    def __post_init__(self) -> None:
        self._variables = self.folder.parent / f"{self.folder.name}.variables"
        self._variables.touch()

    def bash(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code``. A command that fails, anywhere in a pipeline, ends the block."""
        save = f"trap 'export -p >{self._variables}' EXIT"
        code = self._with_own_ports(code)
        return self._run(["bash", "-c", f". {self._variables}\n{save}\nset -ea -o pipefail\n{code}"])

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in a fresh interpreter, with the variables of earlier blocks."""
        script = self.folder.parent / f"{self.folder.name}.py"
        script.write_text(self._with_own_ports(code))
        return self._run(["bash", "-c", f". {self._variables}; exec python {script}"])

    def with_default_ports(self, output: str) -> str:
        """Replace the ports of the stack in an output by the default ones."""
        for default, own in self.ports.items():
            output = output.replace(f":{own}", f":{default}")
        return output

    def _with_own_ports(self, code: str) -> str:
        return re.sub(
            r"\b(localhost|127\.0\.0\.1):(808[012])\b", lambda match: f"{match[1]}:{self.ports[match[2]]}", code
        )

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


@pytest.fixture
def shell(vllm_stack: VllmStack, tmp_path: Path) -> Shell:
    """A shell in a folder like a checkout: it has ``.venv``, ``.local`` and the repository's folders.

    The stack has no survey, so that no page depends on those of another page.
    """
    _delete_surveys(vllm_stack.url)
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".local").symlink_to(vllm_stack.state)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "curl").write_text(CURL)
    (programs / "curl").chmod(0o755)
    for name in ("examples", "helm", "loadtests", "service", "tests"):
        (folder / name).symlink_to(ROOT / name)
    environment = vllm_stack.environment
    ports = {
        "8080": str(vllm_stack.port),
        "8081": str(vllm_stack.grpc_port),
        "8082": vllm_stack.s3_endpoint.rpartition(":")[2],
    }
    return Shell(folder, {**environment, "HOME": str(tmp_path), "PATH": f"{programs}:{environment['PATH']}"}, ports)


def _delete_surveys(url: str) -> None:
    """Delete all surveys; an active one is cancelled first."""
    surveys = f"{url}/v1/sar/surveys"
    while ids := [survey["id"] for survey in _request("GET", f"{surveys}?limit=1000")["data"]]:
        for id_ in ids:
            _request("DELETE", f"{surveys}/{id_}")


def _request(method: str, url: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as response:
        return json.load(response)
