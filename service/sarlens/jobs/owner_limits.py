"""Limits of what one owner may have in the job database."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from sarlens.errors import PayloadTooLarge, QuotaExceeded, SarlensError
from sarlens.jobs.db_schema import JOBS
from sarlens.jobs.models import ACTIVE_STATUSES

_RETRY_AFTER_S = 30
_STORED_BYTES = func.coalesce(func.sum(JOBS.c.bytes), 0)


class OwnerLimits(NamedTuple):
    """Limits of each owner."""

    max_unfinished_jobs: int
    max_stored_bytes: int
    """Maximum size of requests and answers, which deletion and expiry of jobs reduce."""

    def check(self, db: Connection, owner: str) -> None:
        """Check that an owner may add a job.

        Raises:
            QuotaExceeded: the owner has too many unfinished jobs.
            PayloadTooLarge: the jobs of the owner are too large.
        """
        is_unfinished = JOBS.c.status.in_(ACTIVE_STATUSES)
        unfinished = db.execute(select(func.count()).where(JOBS.c.owner == owner, is_unfinished)).scalar_one()
        if unfinished >= self.max_unfinished_jobs:
            raise QuotaExceeded(
                f"Unfinished jobs of the caller: {unfinished}; the limit is {self.max_unfinished_jobs}. "
                "Wait for a job to finish, or cancel one.",
                retry_after=_RETRY_AFTER_S,
            )
        if self.over_limit(db, [owner]):
            raise self.too_large()

    def over_limit(self, db: Connection, owners: Collection[str]) -> set[str]:
        """Return those of the owners whose jobs are too large."""
        sizes = select(JOBS.c.owner).where(JOBS.c.owner.in_(owners)).group_by(JOBS.c.owner)
        return set(db.execute(sizes.having(self.max_stored_bytes <= _STORED_BYTES)).scalars())

    def too_large(self) -> SarlensError:
        """The error of an owner whose jobs are too large."""
        return PayloadTooLarge(
            f"The stored jobs of the caller have reached the limit of {self.max_stored_bytes} bytes. "
            "Delete finished jobs to make room."
        )
