"""A request on its way to some worker: what it names has been found, and is drawn when a worker needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sarlens.chat import Ask, Exhibit, compose
from sarlens.imagery.identity import salted
from sarlens.imagery.pictures import Negative, Pictures
from sarlens.workers.pool import Worker


class Call:
    """One request, and the bodies that workers get for it.

    ``ids`` are the names under which workers remember its pictures, salted where not everybody may see them. ``sizes``
    has the bytes of those that were drawn.
    """

    __slots__ = ("_ask", "_drawn", "_image_first", "_negatives", "_pictures", "ids", "sizes")

    def __init__(self, ask: Ask, negatives: Sequence[Negative], pictures: Pictures, *, image_first: bool) -> None:
        self._ask = ask
        self._negatives = negatives
        self._pictures = pictures
        self._image_first = image_first
        self._drawn: bytes | None = None
        self.sizes: dict[str, int] = {}
        self.ids = tuple(
            negative.id if negative.public else salted(negative.id, ask.terms.salt) for negative in negatives
        )

    @property
    def path(self) -> str:
        """Path of the request, here and at the worker."""
        return self._ask.path

    @property
    def request_id(self) -> str:
        """The id by which it is found in logs."""
        return self._ask.request_id

    @property
    def stream(self) -> bool:
        """Whether the answer is to come piece by piece."""
        return self._ask.stream

    @property
    def repeatable(self) -> bool:
        """Whether asking twice at the same time leaves nothing behind."""
        return not self._ask.document.get("store")

    def pixels_for(self, worker: Worker) -> int:
        """Pixels that a worker would have to process for this request alone, as it has them not and is sent none."""
        return sum(
            negative.pixels for name, negative in zip(self.ids, self._negatives, strict=True) if not worker.knows(name)
        )

    async def body(self, held: frozenset[str]) -> bytes:
        """The body for a worker that has the pictures named in ``held``.

        Raises:
            SarlensError: an image cannot be read or rendered.
        """
        if not self.ids:
            return self._ask.body
        if held:
            return compose(self._ask, await self._exhibits(held), image_first=self._image_first)
        if self._drawn is None:
            self._drawn = compose(self._ask, await self._exhibits(held), image_first=self._image_first)
        return self._drawn

    async def _exhibits(self, held: frozenset[str]) -> list[Exhibit]:
        async def exhibit(name: str, negative: Negative) -> Exhibit:
            if name in held:
                return Exhibit(name, None)
            picture = await self._pictures.draw(negative)
            self.sizes[name] = len(picture.data)
            return Exhibit(name, picture.data, picture.media_type)

        pairs = zip(self.ids, self._negatives, strict=True)
        return list(await asyncio.gather(*(exhibit(name, negative) for name, negative in pairs)))
