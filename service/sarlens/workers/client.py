"""What the gateway needs of a worker, whatever protocol that worker speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Reply(Protocol):
    """A worker's answer whose status is known and whose body is still coming."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def content_type(self) -> str:
        """Media type with its parameters."""

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            WorkerFailed: the worker broke off.
            Timeout: it fell silent.
        """

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises as ``read`` does."""


class Client(Protocol):
    """A connection to one worker."""

    @property
    def url(self) -> str:
        """The worker's base URL."""

    def send(self, path: str, body: bytes, request_id: str) -> AbstractAsyncContextManager[Reply]:
        """Post a request; leaving the context before the end aborts the generation.

        Raises:
            WorkerUnreachable: the worker answered not one byte.
            Timeout: it took too long to begin.
        """

    async def models(self) -> dict[str, dict[str, Any]]:
        """The model cards that the worker serves now, by id.

        Raises:
            WorkerFailed: it is not healthy or does not answer.
        """
