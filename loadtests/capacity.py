"""What gateways and workers carry, a plan for a million and a hundred million images a day, and the queues drawn.

Service times come from ``service_times.json``, which ``service_times.py`` measures; the rest is arithmetic and the
simulation of ``queue_model.py``. A day has its peak at ``--peak`` times its mean rate. ``--worker-per-second`` plans
with workers of another kind: what one answers a second at most; the shape of its batches stays the measured one.

    .venv/bin/python loadtests/capacity.py --picture docs/images/capacity.png --page docs/capacity.md
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from queue_model import Fleet, Passage, percentile, poisson, simulate
from sarlens.settings import WorkerSettings

FILE = Path(__file__).with_name("service_times.json")
SIDES = (512, 2048)
"""Sides of the images that are planned for, in pixels."""
FULL = 0.7
"""Part of its capacity that a core or a worker is planned for."""
PEAK = 2.0
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
DAY_S = 86_400
SHORT_DAY_S = 2880
"""A simulated day. Its rates are those of a whole one; queues that settle within seconds do not feel the difference."""
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LOOK_S: float = WorkerSettings.model_fields["probe_s"].default
"""Time between two looks at a worker."""
S3_GETS = 5500
"""Reads a second that S3 promises for one prefix (Amazon S3 User Guide, "Optimizing Amazon S3 performance")."""


@dataclass(frozen=True)
class Times:
    """What was measured, in milliseconds of CPU time; ``scale`` makes workers another number of times as fast.

    ``store`` has the reads and bytes of an image by its side, ``look`` is what a look at a worker costs.
    """

    gateway: dict[str, float]
    store: dict[int, dict[str, float]]
    alone: list[float]
    batches: dict[int, float]
    known: float
    ranking: dict[int, float]
    look: float
    scale: float = 1.0

    @classmethod
    def read(cls, told: dict[str, Any]) -> Times:
        """From what ``service_times.py`` keeps."""
        worker = told["worker_ms"]
        return cls(
            told["gateway_ms"],
            {int(side): each for side, each in told["store"].items()},
            worker["alone"],
            {int(n): each for n, each in worker["in batches of"].items()},
            worker["known picture, 16 at a time"],
            {int(n): each for n, each in told["ranking_ms"].items()},
            told["look_ms"],
        )

    @property
    def per_worker(self) -> float:
        """Answers a second of a worker at most, each about a new picture."""
        return self.scale * 1000 / min(self.batches.values())

    def answer_ms(self, batch: float) -> float:
        """Milliseconds of a worker for an answer in a batch of some size, on a line between those measured."""
        sizes = sorted(self.batches)
        for low, high in pairwise(sizes):
            if batch <= high:
                share = (max(batch, low) - low) / (high - low)
                return self.batches[low] + share * (self.batches[high] - self.batches[low])
        return self.batches[sizes[-1]]

    def ranking_ms(self, workers: int) -> float:
        """Milliseconds that so many workers add to a request, in proportion to those of the largest fleet measured."""
        return self.ranking[max(self.ranking)] * workers / max(self.ranking)

    def fleet(self, gateways: int, workers: int) -> Fleet:
        """Gateways and workers that answer about new images of 512 pixels."""
        mean = sum(self.alone) / len(self.alone)
        gateway_s = (self.gateway[f"new image of {SIDES[0]}"] + self.ranking_ms(workers)) / 1000
        slots = max(self.batches)
        speeds = [0.0, *(self.scale * self.answer_ms(1) / self.answer_ms(n) / n for n in range(1, slots + 1))]

        def worker_s(choose: random.Random) -> float:
            return choose.choice(self.alone) / mean * self.answer_ms(1) / 1000

        return Fleet(gateways, workers, lambda _: gateway_s, worker_s, slots, lambda n: speeds[n])


@dataclass(frozen=True)
class Plan:
    """What a number of images a day, each new and asked about once, wants at its peak."""

    images: float
    side: int
    peak: float
    times: Times

    @property
    def peak_rate(self) -> float:
        """Requests a second."""
        return self.images / DAY_S * self.peak

    @property
    def workers(self) -> int:
        """Workers at ``FULL``."""
        return math.ceil(self.peak_rate / (FULL * self.times.per_worker))

    @property
    def gateway_ms(self) -> float:
        """CPU time of a gateway for a request, the ranking of all workers included."""
        return self.times.gateway[f"new image of {self.side}"] + self.times.ranking_ms(self.workers)

    @property
    def cores(self) -> int:
        """Cores of gateways at ``FULL``."""
        return math.ceil(self.peak_rate * self.gateway_ms / 1000 / FULL)

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        ranking, store = self.times.ranking_ms(self.workers), self.times.store[self.side]
        yield f"{self.images:,.0f} images a day of {self.side} x {self.side} pixels of 16 bits, each asked about once:"
        yield f"    {self.images / DAY_S:,.1f} a second on average, {self.peak_rate:,.1f} at the peak"
        yield f"    {self.workers:,} workers of {self.times.per_worker:.1f} answers a second at {FULL:.0%}"
        yield f"    {self.cores:,} gateway cores at {FULL:.0%}: {self.gateway_ms:.2f} ms, {ranking:.2f} of it to rank"
        read, stored = self.peak_rate * store["bytes"] * 8e-9, self.images * 2 * self.side**2 / 1e12
        yield f"    {read:,.2f} Gbit/s from the store at the peak; {stored:,.1f} TB of images a day"
        looks = self.workers * self.times.look / LOOK_S / 1000
        yield f"    {looks:.2%} of a core of every gateway to look at the workers"
        reads = self.peak_rate * store["reads"]
        yield f"    {reads:,.0f} reads a second, {reads / S3_GETS:.1%} of what S3 promises for one prefix"


def waits_ms(passages: Sequence[Passage]) -> tuple[float, float]:
    """Median and 99th percentile of what others cost a request."""
    waits = [1000 * each.waited for each in passages] or [0.0]
    return percentile(waits, 0.5), percentile(waits, 0.99)


def steady(times: Times, workers: int, load: float, requests: int) -> tuple[float, float]:
    """Waits at a part of what some workers carry, with gateways enough."""
    rate = load * workers * times.per_worker
    fleet = times.fleet(max(1, math.ceil(rate * times.gateway[f"new image of {SIDES[0]}"] / 500)), workers)
    return waits_ms(list(simulate(fleet, poisson(lambda _: rate, rate, requests / rate)))[requests // 10 :])


def day(plan: Plan, workers: int) -> list[tuple[float, float, float]]:
    """Rate and waits in each hour of a day that goes up and down like a cosine."""
    mean, swing = plan.images / DAY_S, plan.peak - 1

    def rate(now: float) -> float:
        return mean * (1 - swing * math.cos(2 * math.pi * now / SHORT_DAY_S))

    hours: list[list[Passage]] = [[] for _ in range(24)]
    for each in simulate(plan.times.fleet(plan.cores, workers), poisson(rate, plan.peak_rate, SHORT_DAY_S)):
        hours[int(each.came / SHORT_DAY_S * 24)].append(each)
    return [(len(each) / SHORT_DAY_S * 24, *waits_ms(each)) for each in hours]


def tables(times: Times, peak: float) -> Iterator[str]:
    """What one of each carries, and the plans."""
    for kind, cost in times.gateway.items():
        yield f"one gateway core, {kind:19} {1000 / cost:>8,.0f} requests a second, {FULL * 1000 / cost:>6,.0f} planned"
    for batch, cost in times.batches.items():
        yield f"one worker, {batch:>2} at a time      {times.scale * 1000 / cost:>6.1f} answers a second"
    yield f"one worker, known picture    {times.scale * 1000 / times.known:>6.1f} answers a second"
    for workers, cost in times.ranking.items():
        yield f"ranking {workers:>3} workers         {cost:>8.3f} ms a request"
    yield f"a look at a worker          {times.look:>8.3f} ms"
    for side, each in times.store.items():
        yield f"an image of {side:>4}            {each['reads']:>8.2f} reads, {each['bytes'] / 1e6:.2f} MB"
    for images in (1e6, 1e8):
        for side in SIDES:
            yield from Plan(images, side, peak, times).lines()


def write_into(page: Path, lines: Sequence[str]) -> None:
    """Put lines between the two marks of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    indented = "\n".join(f"    {line}".rstrip() for line in lines)
    page.write_text(f"{before}{BEGIN}\n\n{indented}\n\n{END}{after}")


def main() -> None:
    """Print the tables, draw the picture, renew the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=PEAK, help="peak of the day, in times its mean; at most 2")
    parser.add_argument("--worker-per-second", type=float, help="answers a second of one worker at most")
    parser.add_argument("--requests", type=int, default=12_000, help="simulated for each point")
    parser.add_argument("--picture", type=Path, help="where to draw the queues; they take a minute")
    parser.add_argument("--page", type=Path, help="page whose figures to renew")
    given = parser.parse_args()
    times = Times.read(json.loads(FILE.read_text()))
    if given.worker_per_second:
        times = replace(times, scale=given.worker_per_second / times.per_worker)
    lines = list(tables(times, given.peak))
    print("\n".join(lines))
    if given.picture:
        from capacity_picture import draw  # noqa: PLC0415  slow to import, and only needed here

        queues = draw(Plan(1e6, SIDES[0], given.peak, times), given.requests, given.picture)
        print("\n".join(queues))
        lines += ["", *queues]
    if given.page:
        write_into(given.page, lines)


if __name__ == "__main__":
    main()
