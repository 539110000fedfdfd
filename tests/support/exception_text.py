"""Text of an exception in logs."""

from __future__ import annotations

import traceback


def exception_text(error: BaseException | None) -> str:
    """Return ``str``, ``repr`` and traceback of an exception and of its causes and contexts, even suppressed ones."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)
