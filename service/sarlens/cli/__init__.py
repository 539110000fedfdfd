"""The ``sarlens`` command."""

from sarlens.cli import adapters, ask, keys, local, profiles, serve, settings, survey, workers
from sarlens.cli.app import app

__all__ = ["adapters", "app", "ask", "keys", "local", "profiles", "serve", "settings", "survey", "workers"]
