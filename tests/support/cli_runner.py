"""The ``sarlens`` command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from typer.testing import CliRunner, Result

from sarlens.cli import app


def sarlens(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "sarlens", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        check=False,
    )


def invoke(*arguments: str) -> Result:
    """Run the command in this process; unexpected exceptions don't escape it either."""
    return CliRunner().invoke(app, arguments)


def error_line(*arguments: str, exit_code: int = 1) -> str:
    """Return the only line that a command prints, which fails with this exit code."""
    result = invoke(*arguments)
    assert result.exit_code == exit_code, result.output
    assert not result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("sarlens: ")
    return line.removeprefix("sarlens: ")
