"""``sarlens serve``."""

from __future__ import annotations

import socket

import pytest

from support.cli_runner import error_line

SERVE = ("serve", "--worker", "http://127.0.0.1:9")


def test_workers_are_required() -> None:
    """Without a worker, the gateway doesn't start, and says how to name one."""
    assert error_line("serve") == (
        "no worker is configured: pass --worker http://host:8000, or set SARLENS_WORKER__URLS"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_require_keys(host: str) -> None:
    """On an address that other machines can reach, the gateway requires a file of keys or --open."""
    line = error_line(*SERVE, "--host", host, "--port", "0")
    assert line.startswith(f"on {host}, which other machines can reach, the gateway requires API keys: ")
    assert "SARLENS_KEYS__FILE" in line
    assert "--open" in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SARLENS_PORT", "many"),
        ("SARLENS_WORKER__URLS", '["gpu-1"]'),
        ("SARLENS_S3__NOTHING", "1"),
        ("SARLENS_HTTPS__HOSTS", "[not json"),
    ],
)
def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A wrong setting ends the start with one line that begins with its variable."""
    monkeypatch.setenv(variable, value)
    assert error_line("serve").startswith(variable)


def test_a_port_in_use_names_the_option() -> None:
    """A port in use ends the start with the option and the setting for another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert error_line(*SERVE, "--port", str(port)) == (
            f"can't listen on 127.0.0.1:{port}: Address already in use; choose another port with --port or SARLENS_PORT"
        )


def test_a_grpc_port_in_use_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of gRPC in use ends the start with the setting for another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SARLENS_GRPC__PORT", str(port))
        assert error_line(*SERVE, "--port", "0") == (
            f"can't listen on 127.0.0.1:{port}: Address already in use; "
            "choose another port for gRPC with SARLENS_GRPC__PORT, or none to turn gRPC off"
        )


def test_an_unknown_host_names_the_option() -> None:
    """An address that isn't one of this machine ends the start with the option for another one."""
    assert error_line(*SERVE, "--host", "no.such.host.invalid", "--open") == (
        "can't listen on no.such.host.invalid:8080: no such host; choose another address with --host or SARLENS_HOST"
    )
    line = error_line(*SERVE, "--host", "192.0.2.1", "--open", "--port", "0")
    assert line.endswith("choose another address with --host or SARLENS_HOST")
