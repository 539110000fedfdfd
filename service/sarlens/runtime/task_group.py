"""A task group that keeps a cancellation which arrives while one of its tasks fails."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

if sys.version_info >= (3, 13):
    from asyncio import TaskGroup
else:

    class TaskGroup(asyncio.TaskGroup):
        """The ``asyncio.TaskGroup`` of Python 3.13.

        That of earlier versions raises the failures of its tasks and loses a cancellation of its owner at the same
        time, so that the owner goes on. This group raises CancelledError instead. It also keeps the number of
        cancellations of the owner as it was.
        """

        _parent_task: asyncio.Task[None]
        _parent_cancel_requested: bool

        async def __aenter__(self) -> TaskGroup:
            """Enter the group in the task that owns it."""
            await super().__aenter__()
            self._cancellations = self._parent_task.cancelling()
            return self

        async def __aexit__(
            self, et: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
        ) -> None:
            """Wait for the tasks.

            Raises:
                CancelledError: the owner was canceled.
                BaseExceptionGroup: tasks failed.
            """
            canceled_before = self._parent_cancel_requested
            try:
                await super().__aexit__(et, exc, tb)
            except BaseExceptionGroup as failures:
                if self._parent_cancel_requested and not canceled_before:
                    self._parent_task.uncancel()  # the cancellation by the group itself
                if self._parent_task.cancelling() > self._cancellations:
                    raise asyncio.CancelledError from failures
                raise
