"""A piece of work that outlives the request that asked for it, and the process that does it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How far a job is, in the words of OGC API Processes."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def over(self) -> bool:
        """Whether nothing more happens."""
        return self not in UNFINISHED


UNFINISHED = (Status.ACCEPTED, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tiles have come to which end."""

    answered: int = 0
    blank: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Tiles that need no more work."""
        return self.answered + self.blank + self.failed


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job. Times are seconds since 1970.

    ``process`` is what was asked for, ``owner`` the name of the API key that asked, ``request`` the commission as
    JSON. ``version`` is the version of the image, ``tiles`` how many there are, both known once it has begun.
    ``code`` and ``message`` say why it failed.
    """

    process: str
    owner: str
    request: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: Status = Status.ACCEPTED
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    version: str | None = None
    model: str | None = None
    tiles: int | None = None
    code: str | None = None
    message: str | None = None
    counts: Counts = Counts()

    @property
    def progress(self) -> int:
        """Percent of the tiles that are done."""
        if self.status is Status.SUCCESSFUL:
            return 100
        return min(99, 100 * self.counts.done // self.tiles) if self.tiles else 0
