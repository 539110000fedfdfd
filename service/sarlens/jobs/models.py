"""Jobs: work that outlives its request."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """Status of a job, in the terms of OGC API Processes."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final."""
        return self not in ACTIVE_STATUSES


ACTIVE_STATUSES = (JobStatus.ACCEPTED, JobStatus.RUNNING)


class ActiveJobs(NamedTuple):
    """The active jobs of one process and status."""

    jobs: int
    """Number of jobs."""
    oldest_age_s: float
    """Time since the submission of the oldest one, in seconds."""


@dataclass(frozen=True, slots=True)
class TileCounts:
    """Number of finished tiles by outcome."""

    answered: int = 0
    blank: int = 0
    failed: int = 0
    skipped: int = 0
    """Tiles that the gate left out."""

    @property
    def done(self) -> int:
        """Number of finished tiles."""
        return self.answered + self.blank + self.failed + self.skipped


class JobOwner(NamedTuple):
    """The submitter of a job."""

    name: str = ""
    """Name of the API key; empty if the gateway has no keys."""
    priority: int = 0
    """Priority of the key; jobs with lower numbers start first."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the database has it. Times are in seconds since 1970."""

    process: str
    """Id of the process, such as ``survey``."""
    owner: str
    """Name of the API key that submitted the job; empty if the gateway has no keys."""
    request: str
    """Parameters of the process as JSON: a ``SurveySpec`` or an ``Echo``."""
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    """32 hexadecimal digits."""
    status: JobStatus = JobStatus.ACCEPTED
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    version: str | None = None
    """Version of the surveyed image."""
    model: str | None = None
    """Name of the model that answers."""
    tiles: int | None = None
    """Number of tiles of the survey."""
    priority: int = 0
    """Priority of the API key; of one key's jobs, lower numbers start first."""
    output: str | None = None
    """Canonical URL of the object that the job writes, which no other active job has."""
    code: str | None = None
    """Error code of a failed job."""
    message: str | None = None
    """Reason of a failed or dismissed job."""
    counts: TileCounts = TileCounts()

    @property
    def progress(self) -> int:
        """Percentage of the tiles that are finished; 100 only if the job is successful."""
        if self.status is JobStatus.SUCCESSFUL:
            return 100
        return min(99, 100 * self.counts.done // self.tiles) if self.tiles else 0
