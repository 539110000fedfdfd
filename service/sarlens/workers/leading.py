"""Of several questions about a picture that no worker has, one goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Leaders:
    """The first question about a picture leads; the others wait until it is answered or ``patience_s`` are over.

    By then the worker holds the picture, so that it is sent, and its tokens are computed, once.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._leading: dict[str, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._leading)

    async def turn(self, picture: str, held: Callable[[], bool]) -> Callable[[], None]:
        """Wait where another leads. What is returned is called once the answer has begun or failed."""
        until = asyncio.get_running_loop().time() + self._patience_s
        while not held():
            event = self._leading.get(picture)
            if event is None:
                event = self._leading[picture] = asyncio.Event()
                return lambda: self._arrive(picture, event)
            try:
                async with asyncio.timeout_at(until):
                    await event.wait()
            except TimeoutError:
                break
        return _nothing

    def _arrive(self, picture: str, event: asyncio.Event) -> None:
        if self._leading.get(picture) is event:
            del self._leading[picture]
        event.set()


def _nothing() -> None:
    """Nobody waits for one who does not lead."""
