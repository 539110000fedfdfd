"""The caller of a request: by which id it is known, and whether it is still there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from starlette.types import Receive, Scope

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class CallerGone(Exception):
    """The caller closed the connection before the answer was complete."""


def request_id(scope: Scope) -> str:
    """The caller's ``X-Request-Id`` where it is a sane token, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid4().hex


@contextmanager
def leaving_cancels(receive: Receive) -> Iterator[None]:
    """Cancel what runs inside when the caller goes away, so that a worker stops generating for nobody.

    Raises:
        CallerGone: it did.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  an ASGI application runs in a task
    watcher = asyncio.ensure_future(_gone(receive))

    def cancel(_: object) -> None:
        task.cancel()

    watcher.add_done_callback(cancel)
    try:
        yield
    except asyncio.CancelledError:
        if not watcher.done():
            raise
        task.uncancel()
        raise CallerGone from None
    finally:
        watcher.remove_done_callback(cancel)
        watcher.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
