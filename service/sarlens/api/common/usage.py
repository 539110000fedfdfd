"""Token usage and token timing of a response, read from its events as they pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from sarlens.inference.worker_stream import CompletionChunk
from sarlens.observability.logging import record_tokens
from sarlens.observability.metrics import Metrics
from sarlens.workers.pool import WorkerPool


class UsageMeter:
    """Usage of one response as the worker states it, and arrival times of streamed tokens."""

    __slots__ = (
        "_estimate_prompt",
        "_estimated_prompt",
        "_first_token_at",
        "_last_token_at",
        "_sent",
        "_started_at",
        "_streamed",
        "model",
        "usage",
    )

    def __init__(self, started_at: float) -> None:
        """``started_at`` is the arrival of the request in seconds of ``perf_counter``."""
        self._started_at = started_at
        self._first_token_at = self._last_token_at = 0.0
        self._streamed = 0
        self._estimate_prompt: Callable[[], int] = int
        self._estimated_prompt: int | None = None
        self._sent = False
        self.model: str | None = None
        self.usage: dict[str, Any] | None = None

    @classmethod
    def of_usage(cls, model: str | None, usage: dict[str, Any] | None) -> UsageMeter:
        """The meter of a response that was parsed already."""
        meter = cls(0.0)
        meter.model, meter.usage = model, usage
        return meter

    @property
    def tokens(self) -> int:
        """Tokens to charge: the total that the worker states, else the prompt and the number of tokens streamed."""
        return self._stated("total") or self._prompt_tokens + self._streamed

    @property
    def _prompt_tokens(self) -> int:
        if stated := self._stated("prompt"):
            return stated
        if self._estimated_prompt is None:
            self._estimated_prompt = self._estimate_prompt()
        return self._estimated_prompt

    def on_sent(self) -> None:
        """Record that a worker gets the request."""
        self._sent = True

    def expect_sent_prompt(self, estimate_prompt: Callable[[], int]) -> None:
        """Charge the prompt if a worker got it, as ``expect_prompt``."""
        if self._sent:
            self.expect_prompt(estimate_prompt)

    def expect_prompt(self, estimate_prompt: Callable[[], int]) -> None:
        """Charge the prompt in any case: ``estimate_prompt`` returns its tokens if the worker doesn't state them."""
        self._estimate_prompt = estimate_prompt

    def feed(self, chunks: Sequence[CompletionChunk]) -> None:
        """Count the tokens of events that arrived together. An event is a token, or more if the usage states more."""
        tokens = 0
        for chunk in chunks:
            tokens += chunk.tokens
            if chunk.document is not None:
                self.record(chunk.document)
        if tokens:
            self.count(tokens)

    def count(self, tokens: int) -> None:
        """Count tokens that arrived together."""
        self._last_token_at = perf_counter()
        self._first_token_at = self._first_token_at or self._last_token_at
        self._streamed += tokens

    def record(self, document: Mapping[str, Any]) -> None:
        """Keep model and usage of an event, or of a response in one piece."""
        model, usage = document.get("model"), document.get("usage")
        if isinstance(model, str):
            self.model = model
        if isinstance(usage, dict):
            self.usage = usage

    def export(self, metrics: Metrics, pool: WorkerPool) -> None:
        """Add the response to the metrics and the access log, if a worker serves its model.

        The time per output token is the time from the first to the last token, divided by the number of tokens after
        the first.
        """
        if self.model is None or pool.model_card(self.model) is None:
            return
        if self._streamed:
            metrics.first_token.labels(self.model).observe(self._first_token_at - self._started_at)
            tokens = self._stated("completion") or self._streamed
            if tokens > 1:
                elapsed_s = self._last_token_at - self._first_token_at
                metrics.per_token.labels(self.model).observe(elapsed_s / (tokens - 1))
        prompt, completion = self._prompt_tokens, self._stated("completion") or self._streamed
        metrics.tokens.labels(self.model, "prompt").inc(prompt)
        metrics.tokens.labels(self.model, "completion").inc(completion)
        metrics.request_tokens.labels(self.model, "prompt").observe(prompt)
        metrics.request_tokens.labels(self.model, "completion").observe(completion)
        record_tokens(prompt, completion)

    def _stated(self, kind: str) -> int:
        """A number of tokens that the worker states; 0 if it states none."""
        tokens = (self.usage or {}).get(f"{kind}_tokens")
        return tokens if isinstance(tokens, int) and tokens >= 0 else 0
