"""Options of glibc's malloc."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

# The numbers of <malloc.h>.
_MALLOC_OPTIONS = (
    ("MALLOC_ARENA_MAX", -8, 2),
    ("MALLOC_MMAP_THRESHOLD_", -3, 16 * 2**20),
    ("MALLOC_TRIM_THRESHOLD_", -1, 32 * 2**20),
)


def tune_malloc() -> None:
    """Limit malloc to two arenas and keep freed memory for the next image; variables of the environment have priority.

    With one arena per rendering thread, the memory of large surveys fragments. If glibc returns the memory of a large
    body or image to the kernel, the next one needs new pages. With another malloc, this function does nothing.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for variable, option, value in _MALLOC_OPTIONS:
            if variable not in os.environ:
                mallopt(option, value)
