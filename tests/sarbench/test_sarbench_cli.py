"""The ``sarbench`` command: version, errors, and the traceback."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.errors import RunError


def test_the_version_is_that_of_the_distribution() -> None:
    """``sarbench --version`` prints the version of the installed distribution."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"sarbench {version('sarlens')}\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RunError("the run cannot start"), "sarbench: the run cannot start\n"),
        (PermissionError(13, "Permission denied", "/data"), "sarbench: /data: Permission denied\n"),
        (ValueError("odd\nmore"), "sarbench: ValueError: odd (pass --debug for the traceback)\n"),
        (
            ExceptionGroup("group", [RunError("one failed"), ValueError("another")]),
            "sarbench: one failed\n",
        ),
    ],
)
def test_errors_are_reported_in_one_sentence(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error gives one sentence on standard error and exit code 1, without a traceback."""

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr("sarbench.dataset.cli.open_dataset", fail)
    result = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", message)


@pytest.mark.parametrize("arguments", [["--debug", "info"], ["info", "--debug"]])
def test_debug_shows_the_traceback(arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With --debug before or after the command, the error itself reaches the interpreter."""

    def fail(_: str) -> None:
        raise ValueError("odd")

    monkeypatch.setattr("sarbench.dataset.cli.open_dataset", fail)
    result = CliRunner().invoke(app, [*arguments, str(tmp_path)])
    assert isinstance(result.exception, ValueError)


def test_a_wrong_option_is_a_usage_error() -> None:
    """An unknown option gives exit code 2 and names the option."""
    result = CliRunner().invoke(app, ["info", "--nothing"])
    assert result.exit_code == 2
    assert "--nothing" in result.output
