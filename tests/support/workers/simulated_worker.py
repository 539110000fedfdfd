"""A worker on the clock of the event loop, and questions about images, without servers and pixels."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from sarlens.chat.parse import parse_chat_request
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.worker_request import WorkerRequest
from sarlens.types.render_params import RenderParams
from sarlens.workers.clients.base import WorkerStatus

MODEL = "simulated"


class SimulatedWorker:
    """A worker client that batches requests as vLLM does; it keeps every image that it has received.

    Requests join the batch between two steps. A step takes the time of all its requests together, and each request
    needs two: one to prefill, which includes ``image_s`` seconds for the data of an image, and one to decode. A request
    without data takes ``request_s`` seconds alone, plus or minus 30 %.
    """

    def __init__(self, url: str, request_s: float, image_s: float) -> None:
        self.url = url
        self.supports_image_ids = self.supports_batches = True
        self.images = 0
        """Number of images received as data."""
        self.answered = 0
        """Number of requests answered."""
        self._request_s, self._image_s = request_s, image_s
        self._random = random.Random(url)
        self._waiting: list[_Sequence] = []
        self._engine: asyncio.Task[None] | None = None

    async def send(self, path: str, body: bytes, request_id: str, trace: Mapping[str, str], *, stream: bool) -> Any:
        """Return a completion when the engine has made both steps."""
        image = json.loads(body)["messages"][0]["content"][0]["image_url"]
        self.images += image is not None
        decode_s = self._request_s / 2 * self._random.uniform(0.7, 1.3)
        prefill_s = decode_s + (self._image_s if image is not None else 0.0)
        sequence = _Sequence([prefill_s, decode_s], asyncio.Event())
        self._waiting.append(sequence)
        if self._engine is None or self._engine.done():
            self._engine = asyncio.create_task(self._step_until_idle())
        await sequence.done.wait()
        self.answered += 1
        return _Completion()

    async def probe(self) -> WorkerStatus:
        """Return the model."""
        return WorkerStatus({MODEL: {"id": MODEL}})

    async def read_load(self) -> float | None:
        """Return None: the worker reports no load."""
        return None

    async def _step_until_idle(self) -> None:
        running: list[_Sequence] = []
        while running or self._waiting:
            running += self._waiting
            self._waiting = []
            await asyncio.sleep(sum(sequence.steps_s.pop(0) for sequence in running))
            for sequence in running:
                if not sequence.steps_s:
                    sequence.done.set()
            running = [sequence for sequence in running if sequence.steps_s]


class _Sequence(NamedTuple):
    steps_s: list[float]
    """Seconds of each step that is left."""
    done: asyncio.Event


class _Completion:
    status = 200
    content_type = "application/json"
    retry_after_s = None
    is_stream = False
    first_chunk = b'{"choices": []}'

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield nothing: ``first_chunk`` is the whole body."""
        return
        yield b""

    def close(self) -> None:
        """Do nothing."""


def image_question(image: str, side: int = 256) -> WorkerRequest:
    """Return a question about an image of ``side`` x ``side`` pixels."""
    content = [{"type": "image_url", "image_url": {"url": f"https://images/{image}"}}, {"type": "text", "text": "?"}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    chat_request = parse_chat_request("/v1/chat/completions", json.dumps(body).encode(), "id", max_images=1)
    resolved = ResolvedImage(image, cast("Any", None), RenderParams(), side, public=True)

    async def render(_: ResolvedImage) -> Any:
        return SimpleNamespace(data=b"image", media_type="image/png")

    images = cast("ImageService", SimpleNamespace(render=render))
    return WorkerRequest(chat_request, [resolved], images, image_first=True, image_id_secret=b"secret")
