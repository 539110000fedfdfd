"""Survey submission, for every protocol."""

from __future__ import annotations

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.schemas import check_questions
from sarlens.api.jobs.responses import owner_of
from sarlens.jobs.models import Job
from sarlens.surveys.echo import ECHO, Echo
from sarlens.surveys.job_service import JobService
from sarlens.surveys.spec import SurveySpec


class SurveySubmission:
    """Checks the limits and the caller's access, and submits surveys and echoes to the job service."""

    def __init__(self, job_service: JobService, authorizer: Authorizer, *, max_questions: int) -> None:
        self._job_service = job_service
        self._authorizer = authorizer
        self._max_questions = max_questions

    async def submit(self, spec: SurveySpec, process: str, context: RequestContext, job_id: str | None = None) -> Job:
        """Return the stored job of a survey, with a given id or a new one.

        Raises:
            BadRequest: the survey has too many questions or isn't possible.
            PermissionDenied: the API key doesn't allow the image or the output.
            OutputExists: the output exists, or another survey writes to it.
            SarlensError: the image can't be opened, or no worker serves the model.
        """
        key = context.key
        check_questions(len(spec.questions), self._max_questions)
        self._authorizer.check_image_access(key, [spec.image_request])
        key_prefixes = key.output_prefixes(self._job_service.output_prefixes) if key else None
        return await self._job_service.submit(spec, process, owner_of(context), key_prefixes, job_id)

    async def submit_echo(self, echo: Echo, context: RequestContext) -> Job:
        """Return the stored job of an echo, which counts as one request.

        Raises:
            QuotaExceeded: the API key has used up its quota, or has too many unfinished jobs.
        """
        await self._authorizer.count_request(context.key)
        return await self._job_service.enqueue(Job(ECHO, owner_of(context).name, echo.model_dump_json()))
