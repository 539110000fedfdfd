"""Several processes of one gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sarlens.observability.metrics import MULTIPROC_DIR_ENV
from sarlens.server import supervisor
from sarlens.server.server import bind_socket
from sarlens.settings import GrpcSettings, Settings, WorkerSettings


@pytest.mark.parametrize("secret", [None, SecretStr("configured-secret")])
@pytest.mark.parametrize("state", ["state", "file/state"])
def test_all_processes_share_one_secret_of_image_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: SecretStr | None, state: str
) -> None:
    """The processes get the secret as a setting: the configured one, the kept one, or one that can't be kept."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state))
    started: list[Settings] = []

    def run(self: supervisor.ProcessSupervisor, _: int) -> bool:
        started.append(self._settings)
        return True

    monkeypatch.setattr(supervisor.ProcessSupervisor, "run", run)
    monkeypatch.setattr(supervisor, "configure_logging", lambda _: None)
    monkeypatch.setenv(MULTIPROC_DIR_ENV, "")  # restored after the test
    with bind_socket("127.0.0.1", 0) as sock:
        settings = Settings(worker=WorkerSettings(image_id_secret=secret), grpc=GrpcSettings(port=None))
        assert supervisor.serve_multiprocess(settings, sock, 2)
    (received,) = started
    shared = received.worker.image_id_secret
    assert shared is not None
    assert len(shared.get_secret_value()) >= 16
    kept = tmp_path / state / "sarlens" / "image-id-secret"
    assert kept.exists() == (secret is None and state == "state")
    if secret is not None or kept.exists():
        assert shared.get_secret_value() == (kept.read_text() if secret is None else secret.get_secret_value())
