"""Results of a rate sweep: percentiles by surface, goodput, the knee, and the comparison of two sweeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MEASURES = ("ttft", "tpot", "e2e")
"""Time to first token or feature, time per further token, and time to the end of the response."""
PERCENTILES = (50, 90, 95, 99)
INTERVAL_S = 5.0
"""Length of an interval of the percentiles over time, in seconds."""


@dataclass(frozen=True)
class Sample:
    """Outcome of a request."""

    surface: str
    due_s: float
    """Time at which the request was due, in seconds from the begin of the step."""
    late_ms: float
    """Delay of the client: from the time at which the request was due until the client began to send it."""
    e2e_ms: float
    """Time from when the request was due to the end of the response, so a delay of the client counts."""
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    tokens: int = 0
    is_new: bool = False
    error: str | None = None
    """Error code; None if the request was answered."""

    def meets(self, objectives: Mapping[str, float]) -> bool:
        """Return whether the request was answered within each objective that applies to its surface."""
        measured = {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2e": self.e2e_ms}
        within = (value is None or value <= objectives.get(name, math.inf) for name, value in measured.items())
        return self.error is None and all(within)


@dataclass(frozen=True)
class Step:
    """Results at one rate."""

    rate: float
    """Requests per second that were due."""
    requests: int
    answered: int
    good: int
    """Requests that were answered within the objectives."""
    seconds: float
    """Time in which requests were due."""
    tokens_per_s: float
    late_p99_ms: float
    client_cpu: float
    """CPU time of the client, as a fraction of one core: near 1, the client is the bottleneck."""
    errors: dict[str, int]
    """Failed requests by error code."""
    surfaces: dict[str, Any]
    """Requests and percentiles, by surface."""
    images: dict[str, Any]
    """The same for the first requests about an image, and for the others."""
    over_time: list[dict[str, Any]]
    """The same for each interval of ``INTERVAL_S``, by surface."""

    @property
    def goodput(self) -> float:
        """Good responses per second."""
        return self.good / self.seconds

    @property
    def good_ratio(self) -> float:
        """Good responses, as a fraction of the requests."""
        return self.good / self.requests if self.requests else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return all fields, with the goodput."""
        return {**asdict(self), "goodput": round(self.goodput, 3), "good_ratio": round(self.good_ratio, 4)}


def parse_objectives(words: Iterable[str]) -> dict[str, float]:
    """Parse words such as ``ttft:500``: measure and milliseconds.

    Raises:
        ValueError: the word has another form.
    """
    objectives = {}
    for word in words:
        name, _, value = word.partition(":")
        if name not in MEASURES or not value.replace(".", "", 1).isdecimal():
            raise ValueError(f"{word!r} isn't an objective: write ttft:500, tpot:50 or e2e:2000, in milliseconds.")
        objectives[name] = float(value)
    return objectives


def summarize(
    rate: float, seconds: float, samples: Sequence[Sample], objectives: Mapping[str, float], client_cpu: float
) -> Step:
    """Return the results of one rate."""
    surfaces = sorted({sample.surface for sample in samples})
    intervals = range(math.ceil(seconds / INTERVAL_S))
    by_interval = [[sample for sample in samples if sample.due_s // INTERVAL_S == number] for number in intervals]
    return Step(
        rate=rate,
        requests=len(samples),
        answered=sum(sample.error is None for sample in samples),
        good=sum(sample.meets(objectives) for sample in samples),
        seconds=seconds,
        tokens_per_s=round(sum(sample.tokens for sample in samples) / seconds, 2),
        late_p99_ms=percentiles([sample.late_ms for sample in samples]).get("p99", 0.0),
        client_cpu=round(client_cpu, 3),
        errors=dict(Counter(sample.error for sample in samples if sample.error).most_common()),
        surfaces={surface: describe([one for one in samples if one.surface == surface]) for surface in surfaces},
        images={
            "new": describe([sample for sample in samples if sample.is_new]),
            "known": describe([sample for sample in samples if not sample.is_new]),
        },
        over_time=[
            {"from_s": number * INTERVAL_S}
            | {surface: describe([one for one in part if one.surface == surface]) for surface in surfaces}
            for number, part in enumerate(by_interval)
        ],
    )


def describe(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the numbers of requests and failures, and the percentiles of each measure, in milliseconds."""
    answered = [sample for sample in samples if sample.error is None]
    measured = {
        "ttft": [sample.ttft_ms for sample in answered if sample.ttft_ms is not None],
        "tpot": [sample.tpot_ms for sample in answered if sample.tpot_ms is not None],
        "e2e": [sample.e2e_ms for sample in answered],
    }
    figures = {f"{name}_ms": percentiles(values) for name, values in measured.items() if values}
    return {"requests": len(samples), "failed": len(samples) - len(answered), **figures}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles by nearest rank; empty without values."""
    ordered = sorted(values)
    return {f"p{p}": round(ordered[max(0, math.ceil(p / 100 * len(ordered)) - 1)], 1) for p in PERCENTILES if ordered}


def knee(steps: Iterable[Step], min_ratio: float) -> float | None:
    """Return the highest rate below the first one at which fewer than ``min_ratio`` of the requests are good.

    None: the lowest rate is too high already.
    """
    found = None
    for step in sorted(steps, key=lambda step: step.rate):
        if step.good_ratio < min_ratio:
            break
        found = step.rate
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any], max_loss: float) -> tuple[list[str], list[str]]:
    """Compare two result files of the sweep.

    Args:
        before, after: the documents.
        max_loss: tolerated loss of the knee, and of the goodput at each rate that both have.

    Returns:
        the lines of a table, and the losses above ``max_loss``.
    """
    lines = [
        f"note: {name} differs: {before[name]} and {after[name]}"
        for name in ("machine", "settings")
        if before[name] != after[name]
    ]
    losses = []
    pairs = [("knee, requests/s", before["knee"] or 0.0, after["knee"] or 0.0)]
    rates = {step["rate"]: step for step in before["steps"]}
    shared = [(rates[step["rate"]], step) for step in after["steps"] if step["rate"] in rates]
    pairs += [(f"goodput at {old['rate']:g}/s", old["goodput"], new["goodput"]) for old, new in shared]
    for name, old, new in pairs:
        change = new / old - 1 if old else 0.0
        lines.append(f"{name:<24} {old:>9.2f} {new:>9.2f} {change:>+8.1%}")
        if change < -max_loss:
            losses.append(f"{name} fell by {-change:.1%}, more than {max_loss:.0%}")
    return lines, losses
