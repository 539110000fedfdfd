"""A fixed loop of Python and NumPy code, whose CPU time is the unit of ``benchmark.py``."""

from __future__ import annotations

from time import thread_time

import numpy as np

_WORDS = [f"word{number}" for number in range(200)]
_PIXELS = np.random.default_rng(0).gamma(4.0, 0.25, (256, 256)).astype(np.float32)


def loop_ms() -> float:
    """Run the loop once and return its CPU milliseconds in this thread, about half of them in NumPy."""
    began = thread_time()
    _python()
    _numpy()
    return 1000 * (thread_time() - began)


def _python() -> int:
    """Count, join and split strings, as code that handles requests does."""
    counts: dict[str, int] = {}
    for number in range(60):
        line = " ".join(f"{word}:{number}" for word in _WORDS)
        for pair in line.split(" "):
            word, _, value = pair.partition(":")
            counts[word] = counts.get(word, 0) + int(value)
    return sum(counts.values())


def _numpy() -> float:
    """Square, sum and compare pixels, as code that renders images does."""
    total = 0.0
    for _ in range(4):
        sums = np.cumsum(_PIXELS * _PIXELS, axis=0)
        edges = np.where(sums[1:] > sums[:-1] + 1, np.sqrt(sums[1:]), sums[:-1])
        total += float(edges.max())
    return total
