"""``python -m sarlens`` is the ``sarlens`` command."""

from sarlens.cli import app

app()
