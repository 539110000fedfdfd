"""All that a log could print of an error."""

from __future__ import annotations

import traceback


def overheard(error: BaseException | None) -> str:
    """The error and everything it came from, suppressed or not, as ``str``, ``repr`` and traceback show it."""
    words = []
    while error is not None:
        words += [str(error), repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(words)
