"""Checks of a command's requirements, run before it starts any expensive work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from sarbench.errors import RequirementError

INSTALL_TORCH = 'install the extra cpu or gpu from a checkout, such as pip install ".[cpu]"'


def require_modules(command: str, modules: Iterable[str], install: str) -> None:
    """Check that ``modules`` are installed; ``install`` says how to install them.

    Raises:
        RequirementError: a module isn't installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise RequirementError(f"{command} requires {' and '.join(missing)}: {install}")


def prepare_directory(path: Path) -> None:
    """Create the output directory ``path`` and its parents, if missing.

    Raises:
        RequirementError: it cannot be created or isn't writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequirementError(f"cannot create the directory {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise RequirementError(f"the directory {path} is not writable")


def prepare_file(path: Path) -> None:
    """Create the parent directories of the output file ``path``, if missing.

    Raises:
        RequirementError: the file cannot be written there.
    """
    if path.is_dir():
        raise RequirementError(f"{path} is a directory: name a file")
    prepare_directory(path.parent)
