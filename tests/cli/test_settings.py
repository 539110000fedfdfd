"""``sarlens settings``."""

from __future__ import annotations

import pytest

from support.cli_runner import error_line, invoke


def test_the_table_has_all_settings() -> None:
    """Without options, the command prints variable, default and meaning."""
    lines = invoke("settings").stdout.splitlines()
    assert lines[:3] == [
        "| variable | default | meaning |",
        "|---|---|---|",
        '| `SARLENS_HOST` | `"127.0.0.1"` | Address that REST and gRPC listen on. |',
    ]


def test_the_values_in_force_have_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """--current prints value and source, with the options of `serve` and without secrets."""
    monkeypatch.setenv("SARLENS_WORKER__API_KEY", "secret")
    monkeypatch.setenv("SARLENS_PORT", "9000")
    output = invoke("settings", "--current", "--worker", "http://gpu-1:8000", "--host", "::1").stdout
    lines = output.splitlines()
    assert lines[0] == "| variable | value | source |"
    for line in (
        "| `SARLENS_HOST` | `::1` | option |",
        "| `SARLENS_PORT` | `9000` | environment |",
        "| `SARLENS_WORKER__URLS` | `http://gpu-1:8000` | option |",
        "| `SARLENS_WORKER__API_KEY` | `***` | environment |",
        "| `SARLENS_PUBLIC_URL` |  | default |",
    ):
        assert line in lines
    assert "secret" not in output


def test_a_wrong_setting_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """--current reports a wrong setting as `serve` does."""
    monkeypatch.setenv("SARLENS_LOGLEVEL", "info")
    assert error_line("settings", "--current").endswith("did you mean SARLENS_LOG_LEVEL?")


def test_options_belong_to_current() -> None:
    """Options without --current are a usage error."""
    assert "--current" in error_line("settings", "--port", "1", exit_code=2)
