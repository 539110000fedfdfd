"""A secret that is generated once and kept in a file."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

from sarlens.errors import StartupError

log = structlog.get_logger(__name__)

_MIN_LENGTH = 16


def load_or_create_secret(path: Path) -> str:
    """Return the secret in a file, which only this user can read; concurrent processes get the same one.

    If the directory can't be written to, the secret is lost with the process, and the log has a warning.

    Raises:
        StartupError: the file exists, but can't be read or holds no secret.
    """
    if not path.exists():
        try:
            _create(path)
        except OSError as error:
            log.warning("a generated secret is lost at the end of the process", file=str(path), reason=error.strerror)
            return secrets.token_hex(32)
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if len(secret) < _MIN_LENGTH:
        raise StartupError(f"{path} doesn't hold a secret; delete the file to generate a new one")
    return secret


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:
        draft.write(secrets.token_hex(32))
        draft.flush()
        # A link is complete at once, and the first process wins.
        with suppress(FileExistsError):
            os.link(draft.name, path)
