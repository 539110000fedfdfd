"""The ``sarlens`` command."""

from sarlens.cli import ask, keys, local, serve, settings, survey
from sarlens.cli.app import app

__all__ = ["app", "ask", "keys", "local", "serve", "settings", "survey"]
