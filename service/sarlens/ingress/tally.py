"""Counting the tokens of an answer and timing them, without taking the answer apart."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import orjson

from sarlens.log import note_tokens
from sarlens.metrics import Metrics
from sarlens.workers.pool import Pool

_EVENT = b"data: {"
_DONE = b"data: [DONE]"


class Tally:
    """What one answer cost: when its events came, and the usage that the worker states."""

    __slots__ = ("_arrived", "_events", "_first", "_last", "_tail", "done", "model", "usage")

    def __init__(self, arrived: float) -> None:
        self._arrived = arrived
        self._first = self._last = 0.0
        self._events = 0
        self._tail = b""
        self.done = False
        self.model: str | None = None
        self.usage: dict[str, Any] | None = None

    @classmethod
    def of_usage(cls, model: str | None, usage: dict[str, Any] | None) -> Tally:
        """The tally of an answer that has been read already."""
        tally = cls(0.0)
        tally.model, tally.usage = model, usage
        return tally

    @property
    def tokens(self) -> int:
        """Tokens that the answer cost: as the worker states it, or the events that came."""
        total = (self.usage or {}).get("total_tokens")
        return total if isinstance(total, int) and total >= 0 else self._events

    def see(self, chunk: bytes) -> None:
        """Count the server-sent events of a chunk. A worker writes one event a token, or more tokens an event."""
        self._last = perf_counter()
        events = chunk.count(_EVENT)
        if events and not self._events:
            self._first = self._last
            self.read(chunk[chunk.find(_EVENT) + 6 :].split(b"\n", 1)[0])
        self._events += events
        # [DONE] and the usage event before it may be cut anywhere by the network, so look at the seam as well.
        self._tail = (self._tail + chunk)[-2048:]
        if _DONE in self._tail:
            self.done = True
            if b'"usage":{' in self._tail:
                self.read(self._tail[self._tail.rfind(_EVENT) + 6 :].split(b"\n", 1)[0])

    def read(self, body: bytes) -> None:
        """Note the model and the usage of an event's data, or of an answer that came in one piece."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(document, dict):
            self.model = document.get("model")
            self.usage = document.get("usage") or self.usage

    def observe(self, metrics: Metrics, pool: Pool) -> None:
        """Add the answer to the metrics, under a model's name that some worker serves."""
        if self.model is None or pool.card(self.model) is None:
            return
        if self._events:
            metrics.first_token.labels(self.model).observe(self._first - self._arrived)
        if self._events > 1:
            metrics.per_token.labels(self.model).observe((self._last - self._first) / (self._events - 1))
        prompt, completion = self._stated("prompt"), self._stated("completion")
        metrics.tokens.labels(self.model, "prompt").inc(prompt)
        metrics.tokens.labels(self.model, "completion").inc(completion)
        note_tokens(prompt, completion)

    def _stated(self, kind: str) -> int:
        tokens = (self.usage or {}).get(f"{kind}_tokens")
        return tokens if isinstance(tokens, int) and tokens >= 0 else 0
