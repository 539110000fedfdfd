"""``/v1/batches``: create, list, read and cancel batches."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.batches.schemas import BatchBody, batch_object, list_object
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import read_body
from sarlens.api.common.schemas import parse_body
from sarlens.api.jobs.responses import json_response, owner_filter, owner_of
from sarlens.batches.service import BatchService
from sarlens.errors import PermissionDenied
from sarlens.jobs.batches import Batch
from sarlens.json_input import run_off_loop
from sarlens.types.image_request import ImageRequest

BATCHES_PATH = "/v1/batches"
_MAX_BODY_BYTES = 64 * 2**10


class Batches:
    """Routes of batches."""

    def __init__(self, batches: BatchService, authorizer: Authorizer, memory: BodyMemoryBudget) -> None:
        self._batches = batches
        self._authorizer = authorizer
        self._memory = memory

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["batches"], default_response_class=Response)
        body = request_body_schema(BatchBody)
        router.add_api_route(BATCHES_PATH, self.create, methods=["POST"], openapi_extra=body)
        router.add_api_route(BATCHES_PATH, self.list, methods=["GET"])
        router.add_api_route(BATCHES_PATH + "/{batch_id}", self.retrieve, methods=["GET"])
        router.add_api_route(BATCHES_PATH + "/{batch_id}/cancel", self.cancel, methods=["POST"])
        return router

    async def create(self, request: Request) -> Response:
        """Run the requests in the lines of a file.

        The gateway validates the file, then runs the requests behind those that callers wait for. They count for the
        API key of the batch.
        """
        context: RequestContext = request.state.context
        with self._memory.reserve(context.client) as reservation:
            raw_body = await read_body(request.scope, request.receive, _MAX_BODY_BYTES, reservation)
            spec = (await run_off_loop(len(raw_body), partial(parse_body, BatchBody, raw_body))).to_spec
        await self._authorizer.count_request(context.key)
        if spec.input_url is not None:
            self._check_input_access(context, spec.input_url)
        key_prefixes = context.key.output_prefixes(self._batches.output_prefixes) if context.key else None
        batch = await self._batches.create(spec, owner_of(context), owner_filter(request), key_prefixes)
        return json_response(batch_object(batch))

    def _check_input_access(self, context: RequestContext, url: str) -> None:
        try:
            self._authorizer.check_image_access(context.key, [ImageRequest(url)])
        except PermissionDenied:
            raise PermissionDenied("The API key doesn't allow the input.", param="input_file_id") from None

    async def list(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100, description="Maximum number of batches")] = 20,
        after: Annotated[
            str | None, Query(max_length=96, description="Id of the last batch of the page before")
        ] = None,
    ) -> Response:
        """List the batches of this API key, newest first."""
        batches = await self._batches.list_batches(owner_filter(request), limit + 1, after)
        data = [batch_object(batch) for batch in batches[:limit]]
        return json_response(list_object(data, has_more=len(batches) > limit))

    async def retrieve(self, request: Request, batch_id: str) -> Response:
        """Get status, counts and result files of a batch."""
        return json_response(batch_object(await self._find(request, batch_id)))

    async def cancel(self, request: Request, batch_id: str) -> Response:
        """Cancel a batch. Requests in progress end; the results so far become its files."""
        return json_response(batch_object(await self._batches.cancel(await self._find(request, batch_id))))

    async def _find(self, request: Request, batch_id: str) -> Batch:
        return await self._batches.find(batch_id, owner_filter(request))
