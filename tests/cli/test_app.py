"""Help, global options and errors of the command."""

from __future__ import annotations

import pytest

import sarlens
from sarlens.client import async_client
from support.cli_runner import error_line, invoke

COMMANDS = ("ask", "survey", "serve", "key", "local", "worker", "settings")


def test_the_help_lists_all_commands() -> None:
    """--help names every command and the exit codes."""
    listing = invoke("--help").stdout
    assert all(f" {command} " in listing for command in COMMANDS)
    assert "Exit codes" in listing


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example(command: str) -> None:
    """The help of each command shows a command line to copy."""
    text = " ".join(invoke(command, "--help").stdout.split())
    assert "Example: " in text
    assert f"sarlens {command} " in text


def test_the_version_is_the_packages() -> None:
    """--version prints the version of the package."""
    assert invoke("--version").stdout.startswith(f"sarlens {sarlens.__version__} (")


def test_an_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug ends in one sentence and exit code 1; with --debug the exception escapes."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no\nreason")

    monkeypatch.setattr(async_client, "Transport", fail)
    line = error_line("ask", "s3://scenes/port.tif", "?")
    assert line == "unexpected error, ZeroDivisionError: no; `sarlens --debug …` shows the traceback"
    assert isinstance(invoke("--debug", "ask", "s3://scenes/port.tif", "?").exception, ZeroDivisionError)


def test_an_error_of_the_system_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be opened is named with the reason."""

    def fail(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/etc/x")

    monkeypatch.setattr(async_client, "Transport", fail)
    assert error_line("ask", "s3://scenes/port.tif", "?") == "/etc/x: No such file or directory"
