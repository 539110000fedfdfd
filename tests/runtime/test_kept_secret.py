"""Secrets that are generated once and kept in a file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from sarlens.errors import StartupError
from sarlens.runtime.kept_secret import load_or_create_secret


def test_concurrent_processes_get_one_secret(tmp_path: Path) -> None:
    """The secret has 256 random bits, and its file is readable by its user only."""
    path = tmp_path / "new" / "secret"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(load_or_create_secret, [path] * 32))
    assert found == {path.read_text()} == {load_or_create_secret(path)}
    assert len(bytes.fromhex(found.pop())) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_two_directories_have_different_secrets(tmp_path: Path) -> None:
    """A secret isn't derived from anything that two hosts share."""
    assert load_or_create_secret(tmp_path / "a") != load_or_create_secret(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 32])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A file without a secret isn't replaced, and the error says what to do."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(StartupError, match="doesn't hold a secret; delete the file"):
        load_or_create_secret(path)
    assert path.read_bytes() == content


def test_without_a_place_to_keep_it_the_secret_is_temporary(tmp_path: Path) -> None:
    """The gateway starts, and the log says that the secret is lost with the process; the log doesn't hold it."""
    (tmp_path / "file").write_text("not a directory")
    with structlog.testing.capture_logs() as logged:
        secret = load_or_create_secret(tmp_path / "file" / "secret")
    assert len(secret) == 64
    assert [line["log_level"] for line in logged] == ["warning"]
    assert secret not in str(logged)
