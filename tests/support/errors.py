"""The tree of error classes."""

from __future__ import annotations

from collections.abc import Iterator

from sarlens.errors import SarlensError


def tree(root: type[SarlensError] = SarlensError) -> Iterator[type[SarlensError]]:
    """Yield a class and its subclasses in the table; those elsewhere have the row of their parent."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == SarlensError.__module__:
            yield from tree(child)
