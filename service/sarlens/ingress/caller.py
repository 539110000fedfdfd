"""The caller of a request: by which id it is known, and whether it is still there."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import uuid4

from starlette.types import Receive, Scope

from sarlens.admission.keys import Key
from sarlens.errors import BadRequest, DeadlinePassed
from sarlens.request import Terms

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SECONDS = re.compile(rb"[0-9]{1,11}(?:\.[0-9]{1,9})?")


class Caller(NamedTuple):
    """Who asks, on what terms, and the id of the request."""

    key: Key | None
    terms: Terms
    request_id: str

    @classmethod
    def known(cls, key: Key | None, request_id: str, deadline: float | None) -> Caller:
        """A caller with a key, or anybody."""
        terms = Terms(key.name, key.priority, deadline, key.may_see) if key else Terms(deadline=deadline)
        return cls(key, terms, request_id)


class CallerGone(Exception):
    """The caller closed the connection before the answer was complete."""


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's ``X-Request-Id`` where it is a sane token, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid4().hex


def deadline(scope: Scope) -> float | None:
    """The time of ``X-Request-Deadline``, in seconds since 1970, or None.

    Raises:
        BadRequest: it is no time.
        DeadlinePassed: it is over.
    """
    for name, value in scope["headers"]:
        if name == b"x-request-deadline":
            if not _SECONDS.fullmatch(value):
                raise BadRequest("X-Request-Deadline must be a time in seconds since 1970, such as 1767225600.5.")
            if float(value) <= time.time():
                raise DeadlinePassed("The deadline had passed when the request came.")
            return float(value)
    return None


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
