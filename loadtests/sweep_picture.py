"""Plots of a rate sweep: goodput and percentiles by rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(document: Mapping[str, Any], picture: Path) -> None:
    """Plot goodput by rate with the knee, and the 50th and 99th percentiles of each surface by rate."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow to import, and only needed here

    steps = document["steps"]
    rates = [step["rate"] for step in steps]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(rates, [step["goodput"] for step in steps], "o-", label="goodput")
    left.plot(rates, rates, color="gray", linewidth=1, label="requests")
    left.set(title="Good responses per second", xlabel="requests per second", xlim=(0, None), ylim=(0, None))
    for number, surface in enumerate(sorted({name for step in steps for name in step["surfaces"]})):
        for percentile, style in (("p50", "-"), ("p99", ":")):
            known = [step for step in steps if "e2e_ms" in step["surfaces"].get(surface, ())]
            values = [step["surfaces"][surface]["e2e_ms"][percentile] for step in known]
            label = f"{surface} {percentile}"
            right.plot([step["rate"] for step in known], values, f"C{number}{style}", label=label)
    right.set(title="Time to the end of the response, ms", xlabel="requests per second", yscale="log", xlim=(0, None))
    for axes in (left, right):
        if document["knee"]:
            axes.axvline(document["knee"], color="red", linestyle="--", linewidth=1)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(picture, dpi=110)
