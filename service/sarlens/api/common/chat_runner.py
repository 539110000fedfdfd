"""The way of a chat through the gateway, the same in every protocol of chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

from starlette.types import Receive, Scope

from sarlens.admission.body_memory import BodyMemoryBudget, MemoryReservation
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.disconnect import CancelOnDisconnect, ClientDisconnected
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import read_body
from sarlens.api.common.usage import UsageMeter
from sarlens.chat.parse import ChatRequest
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.worker_response import JudgedResponse
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.json_input import MAX_INLINE_BYTES, Document, run_off_loop, text_bytes
from sarlens.observability.metrics import Metrics
from sarlens.profiles.registry import AUTO

Respond = Callable[[JudgedResponse, UsageMeter], Awaitable[None]]
"""Sends the response of a worker to the client, and feeds the meter with it."""
Parse = Callable[[Document], tuple[ChatRequest, Respond]]
"""Parses the body of a request."""

Load = Callable[[Document, MemoryReservation], Awaitable[int]]
"""Loads what the body of a request refers to, within the memory that the request reserves, and returns its size."""


class ChatRunner:
    """Reads a request, authorizes it, runs it on a worker, and counts its usage."""

    def __init__(
        self,
        inference: InferencePipeline,
        authorizer: Authorizer,
        memory: BodyMemoryBudget,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        max_images: int,
    ) -> None:
        """``max_images`` is the maximum number of images of a request, which the parsers apply."""
        self.authorizer = authorizer
        self.metrics = metrics
        self.max_images = max_images
        self._inference = inference
        self._memory = memory
        self._max_body_bytes = max_body_bytes

    async def run(self, scope: Scope, receive: Receive, parse: Parse, load: Load | None = None) -> None:
        """Serve a request.

        Args:
            scope: scope of the request.
            receive: receives its body.
            parse: parses the body.
            load: loads what the body refers to, before ``parse`` is called.

        Raises:
            SarlensError: the request is invalid, not allowed or too large, or no worker answered it.
            ClientDisconnected: the client left.
        """
        arrived_at = perf_counter()
        context: RequestContext = scope["state"]["context"]
        with self._memory.reserve(context.client) as reservation:
            body = await read_body(scope, receive, self._max_body_bytes, reservation)
            size = len(body) + (0 if load is None else await load(body, reservation))
            is_short = size <= MAX_INLINE_BYTES
            parsed = (
                parse(body)
                if is_short
                else await run_off_loop(max(text_bytes(body), size - len(body)), partial(parse, body))
            )
            chat_request, respond = parsed
            if context.key is not None:
                images = [ref.request for ref in chat_request.images]
                if chat_request.model == AUTO:  # the choice opens an image
                    self.authorizer.check_image_access(context.key, images)
                model = await self._inference.resolve_model(chat_request.model, images, context.policy)
                await self.authorizer.authorize(context.key, model, images, chat_request.requests)
            estimate = partial(self._inference.estimate_prompt_tokens, chat_request)
            meter = UsageMeter(arrived_at)
            try:
                with CancelOnDisconnect(scope), await self._inference.run(chat_request, meter.on_sent) as response:
                    if isinstance(response, StreamedResponse):
                        meter.expect_prompt(estimate)
                    await respond(response, meter)
            except ClientDisconnected:
                if chat_request.generates:
                    meter.expect_sent_prompt(estimate)
                raise
            finally:
                meter.export(self.metrics, self._inference.pool)
                await self.authorizer.record_tokens(context.key, meter.tokens)
