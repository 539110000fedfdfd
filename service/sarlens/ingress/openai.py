"""The hot path: OpenAI's completions and chat completions, as bare ASGI.

Nothing is modelled here that Sarlens does not need to know: a body passes as the bytes that it came as, both ways.
"""

from __future__ import annotations

from time import perf_counter

import orjson
from starlette.types import Receive, Scope, Send

from sarlens.admission.deadline import in_time
from sarlens.admission.memory import Memory
from sarlens.chat import Ask, parse_ask
from sarlens.errors import SarlensError, WorkerFailed, WrongMethod
from sarlens.inference import Inference
from sarlens.ingress.caller import leaving_cancels
from sarlens.ingress.door import Door
from sarlens.ingress.replies import error_object, read_body, send_json
from sarlens.ingress.tally import Tally
from sarlens.log import note_error
from sarlens.metrics import Metrics
from sarlens.workers.client import Reply

PATHS = frozenset({"/v1/chat/completions", "/v1/completions"})


class Completions:
    """``POST /v1/chat/completions`` and ``POST /v1/completions``."""

    def __init__(
        self, inference: Inference, door: Door, memory: Memory, metrics: Metrics, *, body_bytes: int, max_images: int
    ) -> None:
        self._inference = inference
        self._door = door
        self._memory = memory
        self._metrics = metrics
        self._body_bytes = body_bytes
        self._max_images = max_images

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = perf_counter()
        if scope["method"] != "POST":
            raise WrongMethod(f"{scope['path']} is asked with POST.")
        with self._memory.holding() as holding:
            body = await read_body(scope, receive, self._body_bytes, holding)
            key, terms, request_id = scope["sarlens.caller"]
            ask = parse_ask(scope["path"], body, request_id, max_images=self._max_images, terms=terms)
            if key is not None:
                model = self._inference.pool.resolve(ask.model)
                await self._door.admit(key, model, [ref.view for ref in ask.images])
            tally = Tally(arrived)
            try:
                with leaving_cancels(receive):
                    async with self._inference.answer(ask) as reply:
                        await (self._stream if reply.streams else self._whole)(ask, reply, send, tally)
            finally:
                tally.observe(self._metrics, self._inference.pool)
                await self._door.charge(key, tally.tokens)

    async def _whole(self, ask: Ask, reply: Reply, send: Send, tally: Tally) -> None:
        body = reply.first
        if reply.status >= 400:
            body = _with_request_id(body, ask.request_id)
            self._metrics.errors.labels("worker_answered_error").inc()
            note_error("worker_answered_error")
        else:
            tally.read(body)
        await send_json(send, reply.status, body, reply.content_type)

    async def _stream(self, ask: Ask, reply: Reply, send: Send, tally: Tally) -> None:
        headers = [(b"content-type", reply.content_type.encode()), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        try:
            async with in_time(ask.terms.deadline):
                async for chunk in reply.chunks():
                    tally.see(chunk)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not tally.done:
                raise WorkerFailed("The worker ended its answer before it was complete.")
        except SarlensError as error:
            # The status is out already: the caller learns of it as OpenAI's clients expect, from an error event.
            event = b"data: " + orjson.dumps(error_object(error, ask.request_id)) + b"\n\n"
            await send({"type": "http.response.body", "body": event})
            raise
        await send({"type": "http.response.body", "body": b""})


def _with_request_id(body: bytes, request_id: str) -> bytes:
    """A worker's error with the id by which to find it in the logs.

    Raises:
        WorkerFailed: it is no OpenAI error object.
    """
    try:
        document = orjson.loads(body)
        document["error"]["request_id"] = request_id
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise WorkerFailed("The worker failed and did not say why.") from None
    return orjson.dumps(document)
