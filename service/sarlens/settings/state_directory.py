"""The directory in which a gateway keeps what must outlive it, unless a setting names another place."""

from __future__ import annotations

import os
from pathlib import Path


def state_directory() -> Path:
    """Return ``sarlens`` in ``$XDG_STATE_HOME`` or ``~/.local/state``; it may not exist yet."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "sarlens")
