"""How the C library hands out memory."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

# The numbers of <malloc.h>.
_OPTIONS = (
    ("MALLOC_ARENA_MAX", -8, 2),
    ("MALLOC_MMAP_THRESHOLD_", -3, 16 * 2**20),
    ("MALLOC_TRIM_THRESHOLD_", -1, 32 * 2**20),
)


def tune_malloc() -> None:
    """Let all threads share two heaps, and keep freed memory for the next picture; the environment has precedence.

    With a heap for each thread that draws pictures, the memory of large surveys falls to pieces; and what glibc gives
    back to the kernel after one body or picture of some megabytes, it has to ask for, page by page, for the next.
    Where another library allocates, nothing happens.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, option, value in _OPTIONS:
            if name not in os.environ:
                mallopt(option, value)
