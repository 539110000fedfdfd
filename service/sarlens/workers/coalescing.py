"""Request coalescing: of concurrent requests for an image that no worker holds, one goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RequestCoalescer:
    """Lets the first request for an image lead; the others wait for its response, at most ``timeout_s`` seconds.

    Then a worker holds the image, so the gateway sends it once and the worker computes its tokens once.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._leaders: dict[str, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._leaders)

    async def wait_for_leader(self, image_key: str, is_cached: Callable[[], bool]) -> Callable[[], None]:
        """Wait while another request leads. Call the returned function when the response has begun or failed."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while not is_cached():
            event = self._leaders.get(image_key)
            if event is None:
                event = self._leaders[image_key] = asyncio.Event()
                return lambda: self._release(image_key, event)
            try:
                async with asyncio.timeout_at(deadline):
                    await event.wait()
            except TimeoutError:
                break
        return _noop

    def _release(self, image_key: str, event: asyncio.Event) -> None:
        if self._leaders.get(image_key) is event:
            del self._leaders[image_key]
        event.set()


def _noop() -> None:
    """Do nothing: no request waits for one that doesn't lead."""
