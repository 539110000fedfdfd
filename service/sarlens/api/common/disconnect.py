"""Cancellation of work whose client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from starlette.types import Scope

CONNECTION_EXTENSION = "sarlens.connection"
"""ASGI extension of the server: the ``RequestConnection`` of a request."""


class RequestConnection(Protocol):
    """The connection of one request."""

    task: asyncio.Task[None] | None
    """The task that runs the application."""

    def watch_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback`` when the client disconnects, or now if it has; None ends this."""

    def write(self, body: bytes) -> bool:
        """Write a part of a body of unknown length at once, as ``responses.body_writer`` says."""


class ClientDisconnected(Exception):
    """The client closed the connection before the response was complete."""


class CancelOnDisconnect:
    """Cancels a ``with`` block when the client disconnects, so that a worker stops generating an unread answer.

    The block is in the task of the request, which has one such block at a time.

    Raises:
        ClientDisconnected: the client disconnected.
    """

    __slots__ = ("_connection", "_disconnected", "_task")

    def __init__(self, scope: Scope) -> None:
        self._connection: RequestConnection = scope["extensions"][CONNECTION_EXTENSION]
        assert self._connection.task is not None  # noqa: S101  it runs the block
        self._task = self._connection.task
        self._disconnected = False

    def __enter__(self) -> None:
        self._connection.watch_disconnect(self._cancel)

    def _cancel(self) -> None:
        self._disconnected = True
        self._task.cancel()

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.watch_disconnect(None)
        if self._disconnected and isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise ClientDisconnected from None
