"""The memory budget for request bodies."""

from __future__ import annotations

from types import TracebackType

from sarlens.errors import Overloaded
from sarlens.observability.metrics import Metrics


class BodyMemoryBudget:
    """Limits the bytes of request bodies in memory, over all requests and over those of one client."""

    def __init__(self, max_bytes: int, max_client_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._max_client_bytes = max_client_bytes
        self._metrics = metrics
        self._client_bytes: dict[str, int] = {}
        self.reserved_bytes = 0

    def reserve(self, client: str) -> MemoryReservation:
        """Open a reservation for one request of a client; the end of its ``with`` block releases it."""
        return MemoryReservation(self, client)

    def take(self, client: str, size: int) -> None:
        """Reserve ``size`` more bytes for a client.

        Raises:
            Overloaded: the budget, or the client's share of it, is exhausted.
        """
        client_bytes = self._client_bytes.get(client, 0) + size
        if self.reserved_bytes + size > self._max_bytes:
            self._metrics.rejections.labels("memory").inc()
            raise Overloaded(
                "The gateway is overloaded: the bodies of other requests use up the memory for request bodies.",
                retry_after=1,
            )
        if client_bytes > self._max_client_bytes:
            self._metrics.rejections.labels("client_memory").inc()
            raise Overloaded(
                "The bodies of your other requests use up your share of the memory for request bodies.", retry_after=1
            )
        self.reserved_bytes += size
        self._client_bytes[client] = client_bytes

    def release(self, client: str, size: int) -> None:
        """Release ``size`` bytes of a client."""
        if not size:
            return
        self.reserved_bytes -= size
        self._client_bytes[client] -= size
        if not self._client_bytes[client]:
            del self._client_bytes[client]


class MemoryReservation:
    """The bytes that one request has reserved; the number never shrinks."""

    __slots__ = ("_budget", "_client", "size")

    def __init__(self, budget: BodyMemoryBudget, client: str) -> None:
        self._budget = budget
        self._client = client
        self.size = 0

    def extend_to(self, size: int) -> None:
        """Reserve at least ``size`` bytes in total.

        Raises:
            Overloaded: the budget, or the client's share of it, is exhausted.
        """
        if size > self.size:
            self._budget.take(self._client, size - self.size)
            self.size = size

    def __enter__(self) -> MemoryReservation:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.release(self._client, self.size)
