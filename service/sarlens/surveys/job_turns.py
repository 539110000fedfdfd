"""Turns of jobs: which running job releases its slot to an owner who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from time import monotonic

from sarlens.errors import SarlensError
from sarlens.jobs.leases import OwnerLoad
from sarlens.jobs.models import Job


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job that runs in this process."""

    job: Job
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set if the job must finish its tiles in progress, and release its lease."""
    started_at: float = field(default_factory=monotonic)
    task: asyncio.Task[None] | None = None
    error: SarlensError | None = None
    """Reason for which the job is canceled and failed."""

    def cancel(self, error: SarlensError | None = None) -> None:
        """Cancel the job; with an error, the job fails."""
        self.error = error
        if self.task is not None:
            self.task.cancel()


def job_to_suspend(running: Collection[RunningJob], loads: Sequence[OwnerLoad], turn_s: float) -> RunningJob | None:
    """Return the job that must release its slot, or None. Call this only if a process has no free slot.

    If another owner waits and has two jobs fewer, an owner with the most jobs releases one at once. If the difference
    is one, it releases a job that has run for ``turn_s``. One job stops at a time.
    """
    waiting = [load.running for load in loads if load.waiting]
    if not waiting or not running or any(candidate.stopping.is_set() for candidate in running):
        return None
    jobs_of = {load.owner: load.running for load in loads}
    busiest = max(running, key=lambda candidate: (jobs_of.get(candidate.job.owner, 0), -candidate.started_at))
    excess = jobs_of.get(busiest.job.owner, 0) - min(waiting)
    has_had_turn = monotonic() - busiest.started_at >= turn_s
    return busiest if excess > 1 or (excess == 1 and has_had_turn) else None
