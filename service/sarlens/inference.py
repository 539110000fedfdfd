"""The plot: what happens between a parsed request and a worker's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from sarlens.admission.deadline import in_time
from sarlens.admission.gate import Gate
from sarlens.call import Call
from sarlens.chat import Ask
from sarlens.dispatch import Dispatcher
from sarlens.imagery.pictures import Pictures
from sarlens.workers.client import Reply
from sarlens.workers.pool import Pool


class Inference:
    """Asks the workers, and shows them the pictures that a request names."""

    def __init__(
        self,
        pool: Pool,
        pictures: Pictures,
        dispatcher: Dispatcher,
        gate: Gate,
        *,
        size: int,
        sizes: Mapping[str, int],
        image_first: bool = True,
    ) -> None:
        self.pool = pool
        self.pictures = pictures
        self._dispatcher = dispatcher
        self._gate = gate
        self._size = size
        self._sizes = sizes
        self._image_first = image_first

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncIterator[Reply]:
        """A worker's answer to a request, open for as long as the context lasts.

        Raises:
            SarlensError: naming what stood in the way, from an image to the last worker tried.
        """
        model = self.pool.resolve(ask.model)
        size = self.picture_size(model)
        async with AsyncExitStack() as open_until_read:
            async with in_time(ask.terms.deadline):
                pixels = sum(((ref.render and ref.render.size) or size) ** 2 for ref in ask.images)
                await open_until_read.enter_async_context(self._gate.admitted(ask.terms, pixels))
                negatives = await asyncio.gather(*(self.pictures.find(ref.url, ref.render, size) for ref in ask.images))
                call = Call(ask, negatives, self.pictures, image_first=self._image_first)
                reply = await open_until_read.enter_async_context(self._dispatcher.answer(model, call))
            yield reply

    def picture_size(self, model: str | None) -> int:
        """The longest side, in pixels, that a model sees; an adapter sees what its base sees.

        Without a name it is the model's that is served alone.
        """
        served = self.pool.models()
        if model is None and len(served) == 1:
            model = next(iter(served))
        names = (model or "", str(served.get(model or "", {}).get("parent")))
        return next((self._sizes[name] for name in names if name in self._sizes), self._size)
