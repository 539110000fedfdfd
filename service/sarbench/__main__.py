"""``python -m sarbench`` is the ``sarbench`` command."""

from sarbench.cli import app

app()
