"""Tables and plots of the simulated queues of ``capacity.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from capacity import LOADS, PASS_IMAGES, PASS_S, REPLICAS, Plan, Times, day, satellite_pass, steady

FLEETS = (1, 2, 8, 32)
LEAST_MS = 1.0
"""Minimum wait in the plots, in milliseconds."""
SHORT = 0.75
"""Fraction of the planned workers on an undersized day."""


def draw(plan: Plan, requests: int, picture: Path) -> list[str]:
    """Plot the waits by load, by number of workers, and over a day; return the same figures as table lines."""
    figure = Figure(figsize=(15, 4.4), layout="constrained")
    by_load, by_workers, over_day = figure.subplots(1, 3)
    lines = [
        *_by_load(by_load, plan.times, requests),
        *_by_gateways(plan.times, requests),
        *_by_workers(by_workers, plan, requests),
        *_over_day(over_day, plan),
        *_passes(plan),
    ]
    for axes in (by_load, by_workers, over_day):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)
    return lines


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def _by_load(axes: Axes, times: Times, requests: int) -> Iterator[str]:
    yield f"wait, ms, p50 / p99, at a load of {'':8}" + "".join(f"{load:>15.0%}" for load in LOADS)
    for workers in FLEETS:
        waits = [steady(times, workers, load, requests) for load in LOADS]
        yield f"{_workers(workers):>12}{'':30}" + "".join(f"{p50:>8.0f}/{p99:<6.0f}" for p50, p99 in waits)
        (line,) = axes.plot(LOADS, [max(p99, LEAST_MS) for _, p99 in waits], label=f"{_workers(workers)}, p99")
        axes.plot(LOADS, [max(p50, LEAST_MS) for p50, _ in waits], linestyle=":", color=line.get_color())
    axes.set(title="wait by load of the workers (dotted: p50)", xlabel="load", ylabel="ms", yscale="log")


def _by_gateways(times: Times, requests: int) -> Iterator[str]:
    yield f"wait, ms, p50 / p99, behind gateways:{'':10}" + "".join(f"{count:>15}" for count in REPLICAS)
    for workers, load in ((8, 0.7), (32, 0.7), (32, 0.8)):
        waits = [steady(times, workers, load, requests, routers) for routers in REPLICAS]
        label = f"{_workers(workers)} at {load:.0%}"
        yield f"{label:>20}{'':22}" + "".join(f"{p50:>8.0f}/{p99:<6.0f}" for p50, p99 in waits)


def _passes(plan: Plan) -> Iterator[str]:
    yield f"a pass of {PASS_IMAGES} images in {PASS_S} s, besides the mean of the day:"
    for workers in sorted({max(1, plan.workers - 1), plan.workers, plan.workers + 1, 2 * plan.workers}):
        p99_s, last_s = satellite_pass(plan, workers)
        yield f"{_workers(workers):>12}: p99 of the wait {p99_s:.1f} s, all answered after {last_s:.0f} s"


def _by_workers(axes: Axes, plan: Plan, requests: int) -> Iterator[str]:
    least = int(plan.peak_rate / plan.times.per_worker) + 1
    counts = range(least, least + 8)
    waits = [steady(plan.times, n, plan.peak_rate / n / plan.times.per_worker, requests) for n in counts]
    yield f"wait, ms, p50 / p99, at {plan.peak_rate:.1f} requests a second:"
    for workers, (p50, p99) in zip(counts, waits, strict=True):
        load = plan.peak_rate / workers / plan.times.per_worker
        yield f"{_workers(workers):>12}, load {load:.0%}: {p50:.0f} / {p99:.0f}"
    axes.plot(counts, [max(p99, LEAST_MS) for _, p99 in waits], marker="o", label="p99")
    axes.plot(counts, [max(p50, LEAST_MS) for p50, _ in waits], marker="o", linestyle=":", label="p50")
    title = f"wait by workers at the peak of {plan.images:,.0f} images a day"
    axes.set(title=title, xlabel="workers", ylabel="ms", yscale="log")


def _over_day(axes: Axes, plan: Plan) -> Iterator[str]:
    for workers in sorted({plan.workers, max(1, plan.workers - 1), max(1, round(SHORT * plan.workers))}, reverse=True):
        hours = day(plan, workers)
        axes.plot(range(24), [max(p99, LEAST_MS) for *_, p99 in hours], label=f"{_workers(workers)}, p99, ms")
        yield f"a day with {_workers(workers)}: p99 of the worst hour {max(p99 for *_, p99 in hours):.0f} ms"
    axes.plot(range(24), [rate for rate, *_ in hours], linestyle=":", color="grey", label="requests a second")
    axes.set(title=f"a day of {plan.images:,.0f} images", xlabel="hour", ylabel="ms; a second", yscale="log")
