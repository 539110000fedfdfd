"""The ``sarlens`` command."""

from sarlens.cli import clients, serving
from sarlens.cli.command import app

__all__ = ["app", "clients", "serving"]
