"""The tools: what an agent can do with radar images, over the services that REST uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.schemas import (
    CaptionBody,
    SurveyBody,
    TaskRequest,
    VqaBody,
    check_questions,
    validate_body,
)
from sarlens.api.common.task_service import TaskResult, TaskService
from sarlens.api.jobs.responses import owner_filter, survey_status
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.api.mcp.arguments import (
    PICTURE_SCHEMA,
    RESULT_SCHEMA,
    RESULTS_SCHEMA,
    SURVEY_SCHEMA,
    LookArguments,
    Schema,
    SurveyArguments,
)
from sarlens.api.sar.preview import resolve_preview
from sarlens.imagery.core.raster import RenderedImage
from sarlens.inference.pipeline import InferencePipeline
from sarlens.jobs.models import Job
from sarlens.surveys.job_service import JobService
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


class ToolOutput(NamedTuple):
    """What a tool returns."""

    document: dict[str, Any]
    """Structured content."""
    picture: RenderedImage | None = None
    """Picture for the model of the agent."""
    result_path: str | None = None
    """Path of a result in GeoJSON."""


Call = Callable[[Mapping[str, Any], Request], Awaitable[ToolOutput]]


class Tool(NamedTuple):
    """A tool and its description for agents."""

    name: str
    title: str
    description: str
    arguments: Schema
    result: Schema
    call: Call
    read_only: bool = True


def _tool(
    name: str,
    title: str,
    description: str,
    arguments_cls: type[ArgumentsT],
    result: Schema,
    run: Callable[[ArgumentsT, Request], Awaitable[ToolOutput]],
    *,
    read_only: bool = True,
) -> Tool:
    async def call(arguments: Mapping[str, Any], request: Request) -> ToolOutput:
        return await run(validate_body(arguments_cls, dict(arguments)), request)

    return Tool(name, title, description, arguments_cls.model_json_schema(), result, call, read_only)


class Tools:
    """The tools of a gateway."""

    def __init__(
        self,
        inference: InferencePipeline,
        authorizer: Authorizer,
        tasks: TaskService,
        submission: SurveySubmission,
        job_service: JobService,
        *,
        max_questions: int,
    ) -> None:
        self._inference = inference
        self._authorizer = authorizer
        self._tasks = tasks
        self._submission = submission
        self._job_service = job_service
        self._max_questions = max_questions

    def list_tools(self) -> list[Tool]:
        """Return all tools, in the order in which agents see them."""
        return [
            _tool("describe_image", "Describe a radar image", _DESCRIBE, CaptionBody, RESULT_SCHEMA, self._describe),
            _tool("look", "Look at a radar image", _LOOK, LookArguments, PICTURE_SCHEMA, self._look),
            _tool("ask", "Ask about a radar image", _ASK, VqaBody, RESULTS_SCHEMA, self._ask),
            _tool("survey", "Survey a scene", _SURVEY, SurveyBody, SURVEY_SCHEMA, self._survey, read_only=False),
            _tool(
                "survey_status",
                "Progress of a survey",
                _STATUS,
                SurveyArguments,
                SURVEY_SCHEMA,
                self._survey_status,
                read_only=False,
            ),
        ]

    async def _describe(self, body: CaptionBody, request: Request) -> ToolOutput:
        (result,) = await self._run(body.to_task_request, request)
        return ToolOutput(result.to_json())

    async def _ask(self, body: VqaBody, request: Request) -> ToolOutput:
        check_questions(len(body.questions), self._max_questions)
        results = sorted(await self._run(body.to_task_request, request), key=lambda result: result.index)
        return ToolOutput({"data": [result.to_json() for result in results]})

    async def _run(self, task_request: TaskRequest, request: Request) -> list[TaskResult]:
        results = await self._tasks.run(task_request, request.state.context, perf_counter())
        return [result async for result in results]

    async def _look(self, arguments: LookArguments, request: Request) -> ToolOutput:
        image, caller = arguments.image, _caller(request)
        render, images = image.sar or RenderParams(), self._inference.image_service
        image_request = ImageRequest(image.location, render)
        resolved = await resolve_preview(self._inference, self._authorizer, image_request, arguments.model, caller)
        picture = await images.render(resolved)
        document = {"id": resolved.id, "width": picture.width, "height": picture.height}
        document |= {"window": resolved.render.window, "bounds": await images.bounds(resolved)}
        document["radiometry"] = resolved.render.radiometry
        return ToolOutput(document, picture)

    async def _survey(self, body: SurveyBody, request: Request) -> ToolOutput:
        return _status(await self._submission.submit(body.to_spec, "survey", _caller(request)))

    async def _survey_status(self, arguments: SurveyArguments, request: Request) -> ToolOutput:
        job = await self._job_service.find(arguments.id, owner_filter(request))
        return _status(await self._job_service.dismiss(job) if arguments.action == "cancel" else job)


def _caller(request: Request) -> RequestContext:
    context: RequestContext = request.state.context
    return context


def _status(job: Job) -> ToolOutput:
    document = survey_status(job)
    return ToolOutput(document, result_path=document["features"])


_IMAGE = (
    "`image` is an s3:// or https: URL, a data: URL, a STAC Item, or an object with `url` and `sar`, which selects a "
    "part by `window` (pixels) or `bbox` (degrees) and sets filter, scale and calibration."
)
_DESCRIBE = f"Describes a radar image in one sentence, or in detail with style `complex`. {_IMAGE}"
_LOOK = f"Returns the picture that the model sees, with its bounds in degrees if it is georeferenced. {_IMAGE}"
_ASK = (
    "Answers questions about one radar image, with typed values: yes or no, a count, a class, or one of nine "
    f"positions. Ask several questions in one call. {_IMAGE}"
)
_SURVEY = (
    "Asks questions about every tile of a scene that is too large for one picture. Returns a job at once; call "
    f"survey_status with its id until `status` is `successful`. The link is the result as GeoJSON. {_IMAGE}"
)
_STATUS = "Returns status and progress of a survey and the link to its answers so far, or cancels the survey."
