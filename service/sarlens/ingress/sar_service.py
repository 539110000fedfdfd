"""``sarlens.v1.Sar``: the task routes of REST and surveys, with typed messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import perf_counter
from typing import Any

import orjson

from sarlens.admission.memory import Memory
from sarlens.ingress.bodies import CaptionBody, SurveyBody, VqaBody, check_questions, validated
from sarlens.ingress.calls import Calls
from sarlens.ingress.items import Items
from sarlens.ingress.reception import Reception
from sarlens.ingress.results import check_over
from sarlens.ingress.sar_messages import answer_of, caption_body, survey_body, tile_answer, vqa_body, with_bytes
from sarlens.survey.office import Office
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc

_ROUTE = "/sarlens.v1.Sar/"


class SarService(sar_pb2_grpc.SarServicer):
    """Translates messages to the bodies of REST, and items and features to messages."""

    def __init__(
        self,
        items: Items,
        calls: Calls,
        memory: Memory,
        reception: Reception,
        office: Office,
        *,
        max_questions: int,
    ) -> None:
        self._items = items
        self._calls = calls
        self._memory = memory
        self._reception = reception
        self._office = office
        self._max_questions = max_questions

    async def Vqa(self, request: pb.VqaRequest, context: Any) -> pb.VqaResponse:  # noqa: N802  the protocol's names
        """Answer questions about one image, all at the same time."""
        async with self._calls.call(context, _ROUTE + "Vqa") as caller:
            arrived = perf_counter()
            check_questions(len(request.questions), self._max_questions)
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                asked = validated(VqaBody, vqa_body(request)).assignment
                items = await self._items.of(with_bytes(asked, request.image), caller, arrived)
                found = sorted([item async for item in items], key=lambda item: int(item["index"]))
            return pb.VqaResponse(answers=[answer_of(item) for item in found])

    async def Caption(self, request: pb.CaptionRequest, context: Any) -> pb.CaptionResponse:  # noqa: N802
        """Describe one image: in one sentence, or in detail."""
        async with self._calls.call(context, _ROUTE + "Caption") as caller:
            arrived = perf_counter()
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                asked = validated(CaptionBody, caption_body(request)).assignment
                items = await self._items.of(with_bytes(asked, request.image), caller, arrived)
                (answer,) = [answer_of(item) async for item in items]
            return pb.CaptionResponse(answer=answer)

    async def Survey(self, request: pb.SurveyRequest, context: Any) -> AsyncIterator[pb.SurveyResponse]:  # noqa: N802
        """Ask about every tile of a scene; a caller who leaves before the end dismisses it."""
        async with self._calls.call(context, _ROUTE + "Survey") as caller:
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                commission = validated(SurveyBody, survey_body(request)).commission
            job = await self._reception.take(commission, "survey", caller)
            try:
                yield pb.SurveyResponse(begun=pb.SurveyBegun(survey=job.id, tiles=job.tiles))
                async with aclosing(self._office.follow(job.id)) as pages:
                    async for page in pages:
                        for feature in page:
                            yield pb.SurveyResponse(answer=tile_answer(orjson.loads(feature)))
                check_over(await self._office.find(job.id, None))
            except (asyncio.CancelledError, GeneratorExit):
                await asyncio.shield(self._office.dismiss(job))
                raise
