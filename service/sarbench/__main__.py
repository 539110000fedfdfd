"""Entry point of ``python -m sarbench``, equal to the ``sarbench`` command."""

from sarbench.cli import app

app()
