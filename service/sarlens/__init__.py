"""Sarlens: ask questions of radar images."""

from importlib.metadata import version

__version__ = version("sarlens")
