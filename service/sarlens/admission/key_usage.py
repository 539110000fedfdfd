"""Usage of each API key: requests, rejections and tokens since the start of the process."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass(slots=True)
class KeyUsage:
    """Usage of one API key."""

    requests: int = 0
    """Requests that the rate limit admitted."""
    rejected_requests: int = 0
    """Requests that the rate limit rejected."""
    tokens: int = 0
    """Prompt and completion tokens of responses."""


class UsageCounter:
    """Usage of all keys of the keys file, by name, in this process."""

    def __init__(self) -> None:
        self.since = time.time()
        """Start of the counts, in seconds since 1970."""
        self.by_key: defaultdict[str, KeyUsage] = defaultdict(KeyUsage)
