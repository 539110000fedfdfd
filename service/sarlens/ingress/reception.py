"""Where commissions are taken, whatever protocol they come by."""

from __future__ import annotations

from sarlens.ingress.bodies import check_questions
from sarlens.ingress.caller import Caller
from sarlens.ingress.door import Door
from sarlens.ingress.results import owner_of
from sarlens.survey.commission import Commission
from sarlens.survey.job import Job
from sarlens.survey.office import Office


class Reception:
    """Checks what its caller may have done, and makes a job of it."""

    def __init__(self, office: Office, door: Door, *, max_questions: int) -> None:
        self._office = office
        self._door = door
        self._max_questions = max_questions

    async def take(self, commission: Commission, process: str, caller: Caller) -> Job:
        """A job that is on disk.

        Raises:
            BadRequest: it holds too many questions, or is one that cannot be done.
            NotAllowed: the caller's key does not open what it reads or writes.
            SarlensError: the image cannot be had, or no worker serves the model.
        """
        check_questions(len(commission.enquiries), self._max_questions)
        self._door.look(caller.key, commission.views)
        return await self._office.submit(commission, process, owner_of(caller))
