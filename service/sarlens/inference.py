"""The plot: what happens between a parsed request and a worker's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

from sarlens.chat import Ask, compose
from sarlens.errors import NoWorker, WorkerUnreachable
from sarlens.imagery.pictures import Pictures
from sarlens.metrics import Metrics
from sarlens.routing.policy import least_load
from sarlens.workers.client import Reply
from sarlens.workers.pool import Pool


class Inference:
    """Asks the workers, and shows them the pictures that a request names."""

    def __init__(
        self, pool: Pool, pictures: Pictures, metrics: Metrics, *, size: int, sizes: Mapping[str, int]
    ) -> None:
        self.pool = pool
        self.pictures = pictures
        self._metrics = metrics
        self._size = size
        self._sizes = sizes
        self._turns = count()

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncIterator[Reply]:
        """A worker's answer to a request, open for as long as the context lasts.

        Raises:
            SarlensError: naming what stood in the way, from an image to the last worker tried.
        """
        model = self.pool.resolve(ask.model)
        body = await self._with_pictures(ask, model) if ask.images else ask.body
        with self._metrics.stage("worker"):
            async with AsyncExitStack() as stack:
                yield await self._first_reply(stack, ask, model, body)

    def picture_size(self, model: str | None) -> int:
        """The longest side, in pixels, that a model sees; an adapter sees what its base sees.

        Without a name it is the model's that is served alone.
        """
        served = self.pool.models()
        if model is None and len(served) == 1:
            model = next(iter(served))
        names = (model or "", str(served.get(model or "", {}).get("parent")))
        return next((self._sizes[name] for name in names if name in self._sizes), self._size)

    async def _with_pictures(self, ask: Ask, model: str) -> bytes:
        size = self.picture_size(model)
        pictures = await asyncio.gather(*(self.pictures.show(ref.url, ref.render, size) for ref in ask.images))
        return compose(ask, pictures)

    async def _first_reply(self, stack: AsyncExitStack, ask: Ask, model: str, body: bytes) -> Reply:
        workers = self.pool.serving(model)
        lost: WorkerUnreachable | None = None
        for index in least_load([worker.in_flight for worker in workers], next(self._turns)):
            try:
                return await stack.enter_async_context(workers[index].send(ask.path, body, ask.request_id))
            except WorkerUnreachable as error:
                lost = error
        raise lost or NoWorker("The last worker with this model has just left.", retry_after=2)
