"""The route receipt: how the gateway served a request, for callers that request it and for spans."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType

from sarlens.observability.tracing import Attributes

Member = list[str] | int | float
"""Value of a receipt; several strings if the parts of a request differ."""


class BusyTime:
    """Time in which at least one of several concurrent blocks runs; each block is ``with`` this object."""

    __slots__ = ("_running", "_seconds", "_started_at")

    def __init__(self) -> None:
        self._running = 0
        self._seconds = self._started_at = 0.0

    @property
    def seconds(self) -> float:
        """The time so far, in seconds."""
        return self._seconds + (perf_counter() - self._started_at if self._running else 0.0)

    def __enter__(self) -> None:
        if not self._running:
            self._started_at = perf_counter()
        self._running += 1

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running == 1:
            self._seconds = self.seconds
        self._running -= 1


@dataclass(slots=True)
class RouteReceipt:
    """Route of one request of a caller, which may be several requests to workers."""

    workers: set[str] = field(default_factory=set)
    """Names of the workers that responded."""
    policies: set[str] = field(default_factory=set)
    """Routing policies that ranked the workers."""
    hits: int = 0
    """Responses of workers that held all images of their request."""
    misses: int = 0
    """Responses of workers that needed the data of an image."""
    attempts: int = 0
    """Requests sent to workers, with retries and hedges."""
    bytes_saved: int = 0
    """Size of the images whose data wasn't sent, since the worker held them."""
    queue_time: BusyTime = field(default_factory=BusyTime)
    """Time in the queues of the gateway."""
    image_time: BusyTime = field(default_factory=BusyTime)
    """Time to fetch and render images."""

    def record_images(self, *, hit: bool, bytes_saved: int) -> None:
        """Record a response about images."""
        self.hits += hit
        self.misses += not hit
        self.bytes_saved += bytes_saved

    def members(self) -> dict[str, Member]:
        """Return the values by name; none if the request neither was queued nor reached a worker."""
        queue_ms = 1000 * self.queue_time.seconds
        if not self.attempts and not queue_ms:
            return {}
        members: dict[str, Member] = {"worker": sorted(self.workers), "policy": sorted(self.policies)}
        if self.hits or self.misses:
            members["cache"] = ["partial" if self.hits and self.misses else "hit" if self.hits else "miss"]
        members |= {"attempts": self.attempts, "bytes_saved": self.bytes_saved}
        members |= {"queue_ms": round(queue_ms, 1), "image_ms": round(1000 * self.image_time.seconds, 1)}
        return {name: member for name, member in members.items() if member != []}

    def to_structured_field(self) -> str:
        """Return the receipt as a dictionary of RFC 9651; several strings are an inner list."""
        return ", ".join(f"{name}={_bare_items(member)}" for name, member in self.members().items())

    def to_log_fields(self) -> dict[str, str | int | float]:
        """Return the values for a log line, which has the workers by their URL: cache, attempts and times."""
        return {
            name: member if isinstance(member, int | float) else ",".join(member)
            for name, member in self.members().items()
            if member and name not in {"worker", "policy"}
        }

    def to_attributes(self) -> Attributes:
        """Return the receipt as attributes of a span."""
        return {
            f"sarlens.route.{name}": member if isinstance(member, int | float) else ",".join(member)
            for name, member in self.members().items()
        }


def _bare_items(member: Member) -> str:
    if isinstance(member, int | float):
        return str(member)
    items = [_quoted(text) for text in member]
    return items[0] if len(items) == 1 else f"({' '.join(items)})"


def _quoted(text: str) -> str:
    """Return a string of RFC 9651, which is ASCII."""
    escaped = text.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_current_receipt: ContextVar[RouteReceipt | None] = ContextVar("sarlens_route_receipt", default=None)
_UNTIMED = nullcontext()


def bind_route_receipt(receipt: RouteReceipt | None) -> None:
    """Record the route of the current task's request in ``receipt``; None records nothing."""
    _current_receipt.set(receipt)


def current_route_receipt() -> RouteReceipt | None:
    """Return the receipt of the current task's request, if the caller or a trace needs one."""
    return _current_receipt.get()


def queue_time() -> AbstractContextManager[None]:
    """Count a block as time in a queue."""
    receipt = _current_receipt.get()
    return _UNTIMED if receipt is None else receipt.queue_time


def image_time() -> AbstractContextManager[None]:
    """Count a block as time to fetch or render an image."""
    receipt = _current_receipt.get()
    return _UNTIMED if receipt is None else receipt.image_time
