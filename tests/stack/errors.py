"""The tree of errors, as tests walk it."""

from __future__ import annotations

from collections.abc import Iterator

from sarlens.errors import SarlensError


def tree(kind: type[SarlensError] = SarlensError) -> Iterator[type[SarlensError]]:
    """A class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)
