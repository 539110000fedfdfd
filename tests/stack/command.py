"""The ``sarlens`` command, run as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping


def sarlens(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sarlens", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        check=False,
    )
