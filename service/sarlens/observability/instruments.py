"""Counters, gauges and histograms of prometheus_client, without its checks of each update."""

from __future__ import annotations

from bisect import bisect_left
from typing import Self, cast

from prometheus_client import Counter, Gauge, Histogram

from sarlens.observability import tracing
from sarlens.observability.caller import current_key


class LabeledCounter(Counter):
    """Counter that finds the child of known label values without the library's lock."""

    def labels(self, *values: str, key: str | None = None) -> Self:  # type: ignore[override]
        """The child of label values; ``key`` is the name of an API key, for counters that have it as a label."""
        return cast("Self", self._metrics.get(values)) or super().labels(*values)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Add an amount, which is at least 0."""
        self._value.inc(amount)


class KeyedCounter(LabeledCounter):
    """Counter whose last label is the name of an API key, by default that of the current task."""

    def labels(self, *values: str, key: str | None = None) -> Self:  # type: ignore[override]
        """The child of label values and a key."""
        return super().labels(*values, current_key() if key is None else key)


class PlainGauge(Gauge):
    """Gauge of the latest value that was set."""

    def set(self, value: float) -> None:
        """Set the value."""
        self._value.set(float(value))


class ExemplarHistogram(Histogram):
    """Histogram whose buckets have the trace of their last traced observation as an exemplar."""

    def labels(self, *values: str) -> Self:  # type: ignore[override]
        """The child of label values, found without the library's lock if it is known."""
        return cast("Self", self._metrics.get(values)) or super().labels(*values)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Add an observation, with the ids of the current span as its exemplar."""
        if exemplar := exemplar or tracing.current_ids():
            super().observe(amount, exemplar)
        else:
            self._sum.inc(amount)
            self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)
