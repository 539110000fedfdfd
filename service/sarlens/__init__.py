"""Sarlens: ask questions of radar images."""

__version__ = "0.1.0"
