"""The plot: what happens between a parsed request and a worker's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from sarlens.admission.deadline import in_time
from sarlens.admission.gate import Gate
from sarlens.call import Call
from sarlens.chat import Ask
from sarlens.dispatch import Dispatcher
from sarlens.imagery.pictures import Negative, Pictures
from sarlens.log import note_model
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
        note_model(model)
        size = self.picture_size(model)
        pixels = sum(((ref.render and ref.render.size) or size) ** 2 for ref in ask.images)
        await self._gate.enter(ask.terms, pixels)
        begun = monotonic()
        try:
            async with in_time(ask.terms.deadline):
                call = Call(ask, await self._find(ask, size), self.pictures, image_first=self._image_first)
                answer = await self._dispatcher.answer(model, call)
            try:
                yield answer.reply
            finally:
                answer.close()
        finally:
            self._gate.leave(pixels, monotonic() - begun)

    async def _find(self, ask: Ask, size: int) -> Sequence[Negative]:
        if not ask.images:
            return ()
        find = self.pictures.find
        return await asyncio.gather(*(find(ref.place, ref.render, size, ask.terms, ref.version) for ref in ask.images))

    def picture_size(self, model: str | None) -> int:
        """The longest side, in pixels, that a model sees; an adapter sees what its base sees.

        Without a name it is the model's that is served alone.
        """
        if model is None and len(served := self.pool.models()) == 1:
            model = next(iter(served))
        names = (model or "", str((self.pool.card(model or "") or {}).get("parent")))
        return next((self._sizes[name] for name in names if name in self._sizes), self._size)
