"""The gRPC service ``sarlens.v1.Sar``: tasks and surveys with typed messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any

import orjson

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.schemas import (
    CaptionBody,
    SurveyBody,
    TaskRequest,
    VqaBody,
    check_questions,
    validate_body,
)
from sarlens.api.common.task_service import TaskService
from sarlens.api.grpc.call_context import GrpcCallContext
from sarlens.api.grpc.messages import decode
from sarlens.api.grpc.sar_convert import (
    caption_to_rest_body,
    survey_to_rest_body,
    to_answer,
    to_survey_object,
    to_tile_answer,
    vqa_to_rest_body,
    with_bytes,
)
from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.api.grpc.v1 import sar_pb2_grpc
from sarlens.api.jobs.responses import require_success
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.json_input import run_off_loop
from sarlens.surveys.exporter import tile_summary
from sarlens.surveys.job_service import JobService
from sarlens.surveys.spec import SurveySpec

_ROUTE = "/sarlens.v1.Sar/"


class SarServicer(sar_pb2_grpc.SarServicer):
    """Serves tasks and surveys. ``CallGuard`` leaves the messages encoded; they are converted to REST bodies."""

    def __init__(
        self,
        tasks: TaskService,
        calls: GrpcCallContext,
        memory: BodyMemoryBudget,
        submission: SurveySubmission,
        job_service: JobService,
        *,
        max_questions: int,
    ) -> None:
        self._tasks = tasks
        self._calls = calls
        self._memory = memory
        self._submission = submission
        self._job_service = job_service
        self._max_questions = max_questions

    async def Vqa(self, data: bytes, context: Any) -> pb.VqaResponse:  # noqa: N802  the protocol's names
        """Answer questions about one image concurrently."""
        async with self._calls.handle(context, _ROUTE + "Vqa") as caller:
            started_at = perf_counter()
            with self._memory.reserve(caller.client) as reservation:
                reservation.extend_to(len(data))
                task_request = await run_off_loop(len(data), partial(_parse_vqa, data, self._max_questions))
                results = await self._tasks.run(task_request, caller, started_at)
                answers = sorted([result async for result in results], key=lambda result: result.index)
            return pb.VqaResponse(answers=[to_answer(result) for result in answers])

    async def Caption(self, data: bytes, context: Any) -> pb.CaptionResponse:  # noqa: N802
        """Describe one image in one sentence or in detail."""
        async with self._calls.handle(context, _ROUTE + "Caption") as caller:
            started_at = perf_counter()
            with self._memory.reserve(caller.client) as reservation:
                reservation.extend_to(len(data))
                task_request = await run_off_loop(len(data), partial(_parse_caption, data))
                results = await self._tasks.run(task_request, caller, started_at)
                (answer,) = [to_answer(result) async for result in results]
            return pb.CaptionResponse(answer=answer)

    async def Survey(self, data: bytes, context: Any) -> AsyncIterator[pb.SurveyResponse]:  # noqa: N802
        """Survey a scene; a disconnect before the end cancels the survey."""
        async with self._calls.handle(context, _ROUTE + "Survey") as caller:
            with self._memory.reserve(caller.client) as reservation:
                reservation.extend_to(len(data))
                spec = await run_off_loop(len(data), partial(_parse_survey, data, self._max_questions))
                job = await self._submission.submit(spec, "survey", caller)
                try:
                    summary = tile_summary(job)
                    begun = pb.SurveyBegun(
                        survey=job.id, tiles=job.tiles, tile=summary["tile"], reduction=summary["reduction"]
                    )
                    yield pb.SurveyResponse(begun=begun)
                    async with aclosing(self._job_service.stream_answers(job.id)) as pages:
                        async for page in pages:
                            for feature in page:
                                yield pb.SurveyResponse(answer=to_tile_answer(orjson.loads(feature)))
                    require_success(await self._job_service.find(job.id, None))
                    async with aclosing(self._job_service.stream_objects(job.id)) as pages:
                        async for page in pages:
                            for feature in page:
                                yield pb.SurveyResponse(object=to_survey_object(orjson.loads(feature)))
                except (asyncio.CancelledError, GeneratorExit):
                    await asyncio.shield(self._job_service.dismiss(job))
                    raise


def _parse_vqa(data: bytes, max_questions: int) -> TaskRequest:
    request = decode(pb.VqaRequest, data)
    check_questions(len(request.questions), max_questions)
    return with_bytes(validate_body(VqaBody, vqa_to_rest_body(request)).to_task_request, request.image)


def _parse_caption(data: bytes) -> TaskRequest:
    request = decode(pb.CaptionRequest, data)
    return with_bytes(validate_body(CaptionBody, caption_to_rest_body(request)).to_task_request, request.image)


def _parse_survey(data: bytes, max_questions: int) -> SurveySpec:
    request = decode(pb.SurveyRequest, data)
    check_questions(len(request.questions), max_questions)
    return validate_body(SurveyBody, survey_to_rest_body(request)).to_spec
