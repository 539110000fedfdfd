"""The ``sarlens`` command."""

from sarlens.cli import ask, keys, local, profiles, serve, settings, survey, workers
from sarlens.cli.app import app

__all__ = ["app", "ask", "keys", "local", "profiles", "serve", "settings", "survey", "workers"]
