"""The outermost ASGI layer: every request gets an id, an honest answer and its entry in the journal.

The two completion routes go straight to the hot path; everything else is FastAPI's.
"""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sarlens.errors import SarlensError
from sarlens.ingress.caller import Caller, CallerGone, deadline, request_id
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.journal import Entry, Journal
from sarlens.ingress.openai import PATHS, Completions
from sarlens.ingress.replies import UNEXPECTED, send_error
from sarlens.metrics import GONE

log = structlog.get_logger(__name__)

_WORK = ("/v1/", "/v2/models", "/v2/repository", "/processes", "/jobs", "/collections")
"""What needs a key, where callers need one, is traced, and is not taken up while the gateway drains."""


class Front:
    """Dispatches requests and watches over their answers."""

    def __init__(self, completions: Completions, rest: ASGIApp, door: Door, duty: Duty, journal: Journal) -> None:
        self.duty = duty
        self._completions = completions
        self._rest = rest
        self._door = door
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand the lifespan to FastAPI."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        scope["sarlens.request_id"] = name = request_id(scope["headers"])
        with self._journal.request(name, scope["headers"], traced=scope["path"].startswith(_WORK)) as entry:
            answer = _Answer(send, name)
            await self._answer(scope, receive, answer, entry)
            entry.status, entry.meant = answer.status, entry.meant or answer.status
            entry.route = scope["path"] if scope["path"] in PATHS else getattr(scope.get("route"), "path", "other")
            entry.attributes = {
                "http.request.method": scope["method"],
                "http.route": entry.route,
                "http.response.status_code": answer.status,
            }

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer, entry: Entry) -> None:
        name = scope["sarlens.request_id"]
        hot = scope["path"] in PATHS
        try:
            if scope["path"].startswith(_WORK):
                with self.duty.request():
                    key = self._door.key_of(scope["headers"])
                    scope["sarlens.caller"] = Caller.known(key, name, deadline(scope))
                    await (self._completions if hot else self._rest)(scope, receive, answer.send)
            else:
                await self._rest(scope, receive, answer.send)
        except CallerGone:
            answer.status = GONE
        except SarlensError as error:
            await _refuse(answer, error, scope["path"], entry)
        except Exception:
            log.exception("request failed", request_id=name, path=scope["path"])
            await _refuse(answer, SarlensError(UNEXPECTED), scope["path"], entry)


async def _refuse(answer: _Answer, error: SarlensError, path: str, entry: Entry) -> None:
    entry.refused(error)
    if not answer.status:
        await send_error(answer.send, error, path, entry.name)


class _Answer:
    """Passes an answer on with the request's id in its head, and remembers its status."""

    __slots__ = ("_name", "_send", "status")

    def __init__(self, send: Send, name: str) -> None:
        self._send = send
        self._name = name.encode()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._name)]
        await self._send(message)
