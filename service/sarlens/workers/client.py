"""What the gateway needs of a worker, whatever protocol that worker speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol


class Reply(Protocol):
    """A worker's answer that has begun: whole, or a stream whose first event is here."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def content_type(self) -> str:
        """Media type with its parameters."""

    @property
    def streams(self) -> bool:
        """Whether more may come than ``first``."""

    @property
    def first(self) -> bytes:
        """The first piece of a stream, or the whole body."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, from its beginning.

        Raises:
            WorkerFailed: the worker broke off.
            Timeout: it fell silent.
        """

    def close(self) -> None:
        """Be done with it; before the end, this aborts the generation."""


class Client(Protocol):
    """A connection to one worker."""

    @property
    def url(self) -> str:
        """The worker's base URL."""

    @property
    def takes_ids(self) -> bool:
        """Whether a picture that the worker has been shown may be named by its id alone."""

    async def send(self, path: str, body: bytes, request_id: str, trace: Mapping[str, str], *, stream: bool) -> Reply:
        """Post a request and wait until its answer has begun: a stream with its first event, another as a whole.

        ``trace`` are the headers that carry its trace on.

        Raises:
            WorkerUnreachable: the worker does not accept connections.
            WorkerFailed: it broke off before that.
            Timeout: it took too long.
        """

    async def models(self) -> dict[str, dict[str, Any]]:
        """The model cards that the worker serves now, by id.

        Raises:
            WorkerFailed: it is not healthy or does not answer.
        """
