"""The account of a caller who is not there any more: jobs are admitted and charged by the name of a key."""

from __future__ import annotations

from sarlens.ingress.door import Door
from sarlens.ingress.tally import Tally
from sarlens.metrics import Metrics
from sarlens.request import Terms, View
from sarlens.tasks import Finding
from sarlens.workers.pool import Pool


class DoorTill:
    """Puts the work of jobs on the accounts that the door keeps. It goes behind what callers wait for."""

    def __init__(self, door: Door, pool: Pool, metrics: Metrics) -> None:
        self._door = door
        self._pool = pool
        self._metrics = metrics

    def terms(self, owner: str) -> Terms:
        """The terms on which an owner is served; raises Unauthenticated where the owner's key is gone."""
        key = self._door.key_named(owner)
        return Terms(key.name, key.priority + 1, may_see=key.may_see) if key else Terms("", 1)

    async def admit(self, owner: str, model: str, view: View, requests: int) -> Terms:
        """The terms on which requests of an owner are served now.

        Raises:
            QuotaExceeded: not yet.
            Unauthenticated, NotAllowed: the owner's key is gone, or opens this no longer.
        """
        await self._door.admit(self._door.key_named(owner), model, [view], requests)
        return self.terms(owner)

    async def charge(self, owner: str, model: str, finding: Finding) -> None:
        """Count what an answer has cost."""
        tally = Tally.of_usage(model, finding.usage)
        tally.observe(self._metrics, self._pool)
        await self._door.charge(self._door.key_named(owner), tally.tokens)
