"""Capacity of gateways and workers, plans for a million and a hundred million images a day, and plots of the queues.

Service times come from ``service_times.json``, which ``service_times.py`` measures. The rest is arithmetic and the
simulation of ``queue_model.py``. The peak rate of a day is ``--peak`` times its mean rate. ``--worker-per-second``
plans with faster or slower workers; the dependence on the batch size stays as measured. ``--worker-curve`` plans with
the dependence of another worker, such as a GPU:

    {"source": "vllm bench serve, 2026-11-30, one H100", "ms": {"1": 180, "8": 40, "32": 16, "128": 9}}

    .venv/bin/python loadtests/capacity.py --picture docs/images/capacity.png --page docs/explanation/capacity.md
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
"""Sides of the images in the plans, in pixels."""
FULL = 0.7
"""Planned utilization of a core or a worker, as a fraction of its capacity."""
PEAK = 2.0
"""Peak rate of a day, relative to its mean."""
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
DAY_S = 86_400
SHORT_DAY_S = 2880
"""Length of a simulated day, in seconds, with the rates of a whole day. Queues reach equilibrium within seconds."""
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
PROBE_INTERVAL_S: float = WorkerSettings.model_fields["probe_interval_s"].default
"""Interval between health checks of a worker, in seconds."""
PASS_IMAGES, PASS_S = 6000, 120
"""Images of a satellite's pass, and the seconds in which they arrive."""
REPLICAS = (1, 4, 16, 46)
"""Numbers of gateways in the table of waits by gateways."""
S3_GETS = 5500
"""Reads per second that S3 supports for one prefix (Amazon S3 User Guide, "Optimizing Amazon S3 performance")."""


@dataclass(frozen=True)
class Times:
    """Measured CPU times, in milliseconds."""

    gateway: dict[str, float]
    """Gateway time per request, by type of request."""
    store: dict[int, dict[str, float]]
    """Reads and bytes from the store per new image, by its side in pixels."""
    alone: list[float]
    """Samples of the worker time per response without concurrent requests."""
    batches: dict[int, float]
    """Worker time per response, by the number of concurrent requests."""
    known_image: float
    """Worker time per response about an image in its cache."""
    ranking: dict[int, float]
    """Additional gateway time per request, by the number of workers."""
    health_check: float
    """Gateway time per health check of a worker."""
    scale: float = 1.0
    """Speed of a worker, relative to the measured one."""

    @classmethod
    def read(cls, figures: dict[str, Any]) -> Times:
        """Read the content of ``service_times.json``."""
        worker = figures["worker_ms"]
        return cls(
            figures["gateway_ms"],
            {int(side): reads for side, reads in figures["store"].items()},
            worker["alone"],
            {int(n): cost for n, cost in worker["in batches of"].items()},
            worker["known image, 16 at a time"],
            {int(n): cost for n, cost in figures["ranking_ms"].items()},
            figures["health_check_ms"],
        )

    @property
    def per_worker(self) -> float:
        """Maximum responses per second of a worker, each about a new image."""
        return self.scale * 1000 / min(self.batches.values())

    def answer_ms(self, batch: float) -> float:
        """Return the worker time per response in a batch, in milliseconds, interpolated between measured sizes."""
        sizes = sorted(self.batches)
        for low, high in pairwise(sizes):
            if batch <= high:
                share = (max(batch, low) - low) / (high - low)
                return self.batches[low] + share * (self.batches[high] - self.batches[low])
        return self.batches[sizes[-1]]

    def ranking_ms(self, workers: int) -> float:
        """Return the time to rank workers per request, in milliseconds, scaled from the largest measured fleet."""
        return self.ranking[max(self.ranking)] * workers / max(self.ranking)

    def with_curve(self, curve: dict[str, Any]) -> Times:
        """Return the times with a worker's milliseconds per answer by the number of concurrent requests.

        A known image takes as long as in a batch of the largest size. The duration of a single answer varies as
        measured.

        Raises:
            ValueError: there is no time for 1, or a time isn't positive.
        """
        batches = {int(n): float(cost) for n, cost in curve["ms"].items()}
        if 1 not in batches or min(batches.values()) <= 0 or min(batches) < 1:
            raise ValueError("a worker curve needs positive milliseconds by batch size, among them those of 1")
        ratio = batches[1] / (sum(self.alone) / len(self.alone))
        known = min(batches.values())
        return replace(self, alone=[ratio * ms for ms in self.alone], batches=batches, known_image=known)

    def fleet(self, gateways: int, workers: int, routers: int = 1) -> Fleet:
        """Return a fleet that answers questions about new images of 512 pixels; ``routers`` route on their own."""
        mean = sum(self.alone) / len(self.alone)
        gateway_s = (self.gateway[f"new image of {SIDES[0]}"] + self.ranking_ms(workers)) / 1000
        slots = max(self.batches)
        speeds = [0.0, *(self.scale * self.answer_ms(1) / self.answer_ms(n) / n for n in range(1, slots + 1))]

        def worker_s(choose: random.Random) -> float:
            return choose.choice(self.alone) / mean * self.answer_ms(1) / 1000

        return Fleet(gateways, workers, lambda _: gateway_s, worker_s, slots, lambda n: speeds[n], routers)


@dataclass(frozen=True)
class Plan:
    """Gateways and workers for a number of new images per day, with one question each."""

    images: float
    """Images per day."""
    side: int
    peak: float
    times: Times

    @property
    def peak_rate(self) -> float:
        """Requests per second at the peak."""
        return self.images / DAY_S * self.peak

    @property
    def workers(self) -> int:
        """Number of workers at a utilization of ``FULL``."""
        return math.ceil(self.peak_rate / (FULL * self.times.per_worker))

    @property
    def gateway_ms(self) -> float:
        """Gateway CPU time per request, in milliseconds, with the ranking of all workers."""
        return self.times.gateway[f"new image of {self.side}"] + self.times.ranking_ms(self.workers)

    @property
    def cores(self) -> int:
        """Number of gateway cores at a utilization of ``FULL``."""
        return math.ceil(self.peak_rate * self.gateway_ms / 1000 / FULL)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the plan."""
        ranking, store = self.times.ranking_ms(self.workers), self.times.store[self.side]
        yield f"{self.images:,.0f} images a day of {self.side} x {self.side} pixels of 16 bits, each asked about once:"
        yield f"    {self.images / DAY_S:,.1f} a second on average, {self.peak_rate:,.1f} at the peak"
        yield f"    {self.workers:,} workers of {self.times.per_worker:.1f} answers a second at {FULL:.0%}"
        yield f"    {self.cores:,} gateway cores at {FULL:.0%}: {self.gateway_ms:.2f} ms, {ranking:.2f} of it to rank"
        read, stored = self.peak_rate * store["bytes"] * 8e-9, self.images * 2 * self.side**2 / 1e12
        yield f"    {read:,.2f} Gbit/s from the store at the peak; {stored:,.1f} TB of images a day"
        checks = self.workers * self.times.health_check / PROBE_INTERVAL_S / 1000
        yield f"    {checks:.2%} of a core of every gateway for health checks of the workers"
        reads = self.peak_rate * store["reads"]
        yield f"    {reads:,.0f} reads a second, {reads / S3_GETS:.1%} of the S3 limit for one prefix"


def waits_ms(passages: Sequence[Passage]) -> tuple[float, float]:
    """Return the median and the 99th percentile of the waits, in milliseconds."""
    waits = [1000 * passage.waited for passage in passages] or [0.0]
    return percentile(waits, 0.5), percentile(waits, 0.99)


def steady(times: Times, workers: int, load: float, requests: int, routers: int = 1) -> tuple[float, float]:
    """Return the waits at ``load``, a fraction of the workers' capacity, with enough gateway cores.

    ``routers`` gateways share the workers, and each routes by its own requests and by the workers' reports.
    """
    rate = load * workers * times.per_worker
    cores = math.ceil(rate * times.gateway[f"new image of {SIDES[0]}"] / 500)
    fleet = times.fleet(max(cores, routers), workers, routers)
    return waits_ms(list(simulate(fleet, poisson(lambda _: rate, rate, requests / rate)))[requests // 10 :])


def satellite_pass(plan: Plan, workers: int) -> tuple[float, float]:
    """Return the 99th percentile of the waits of a pass in seconds, and the seconds until its last answer.

    ``PASS_IMAGES`` arrive within ``PASS_S`` seconds, besides the mean rate of the day.
    """
    mean, begin = plan.images / DAY_S, 30.0
    burst = PASS_IMAGES / PASS_S

    def rate(now: float) -> float:
        return mean + (burst if begin <= now < begin + PASS_S else 0.0)

    cores = max(plan.cores, math.ceil((mean + burst) * plan.gateway_ms / 1000 / FULL))
    passages = simulate(plan.times.fleet(cores, workers), poisson(rate, mean + burst, begin + PASS_S))
    during = [passage for passage in passages if passage.arrived >= begin]
    last = max(passage.arrived + passage.took for passage in during)
    return waits_ms(during)[1] / 1000, last - begin


def day(plan: Plan, workers: int) -> list[tuple[float, float, float]]:
    """Return the rate and the waits in each hour of a day whose rate follows a cosine."""
    mean, swing = plan.images / DAY_S, plan.peak - 1

    def rate(now: float) -> float:
        return mean * (1 - swing * math.cos(2 * math.pi * now / SHORT_DAY_S))

    hours: list[list[Passage]] = [[] for _ in range(24)]
    for passage in simulate(plan.times.fleet(plan.cores, workers), poisson(rate, plan.peak_rate, SHORT_DAY_S)):
        hours[int(passage.arrived / SHORT_DAY_S * 24)].append(passage)
    return [(len(passages) / SHORT_DAY_S * 24, *waits_ms(passages)) for passages in hours]


def tables(times: Times, peak: float) -> Iterator[str]:
    """Yield the capacity of one core and of one worker, and the plans."""
    for name, cost in times.gateway.items():
        yield f"one gateway core, {name:19} {1000 / cost:>8,.0f} requests a second, {FULL * 1000 / cost:>6,.0f} planned"
    for batch, cost in times.batches.items():
        yield f"one worker, {batch:>2} at a time      {times.scale * 1000 / cost:>6.1f} answers a second"
    yield f"one worker, known image      {times.scale * 1000 / times.known_image:>6.1f} answers a second"
    for workers, cost in times.ranking.items():
        yield f"ranking {workers:>3} workers         {cost:>8.3f} ms a request"
    yield f"health check of a worker    {times.health_check:>8.3f} ms"
    for side, store in times.store.items():
        yield f"an image of {side:>4}            {store['reads']:>8.2f} reads, {store['bytes'] / 1e6:.2f} MB"
    for images in (1e6, 1e8):
        for side in SIDES:
            yield from Plan(images, side, peak, times).lines()


def write_into(page: Path, lines: Sequence[str]) -> None:
    """Replace the lines between the two marks of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    indented = "\n".join(f"    {line}".rstrip() for line in lines)
    page.write_text(f"{before}{BEGIN}\n\n{indented}\n\n{END}{after}")


def main() -> None:
    """Print the tables, draw the plots and update the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peak", type=float, default=PEAK, help="peak rate of the day, relative to its mean; at most 2"
    )
    parser.add_argument("--worker-per-second", type=float, help="maximum answers per second of one worker")
    parser.add_argument("--worker-curve", type=Path, help="JSON file with the times of another worker by batch size")
    parser.add_argument("--requests", type=int, default=12_000, help="simulated requests per point")
    parser.add_argument("--picture", type=Path, help="path of the plots, which take a minute")
    parser.add_argument("--page", type=Path, help="page whose figures are updated")
    args = parser.parse_args()
    times = Times.read(json.loads(FILE.read_text()))
    if args.worker_curve:
        curve = json.loads(args.worker_curve.read_text())
        times = times.with_curve(curve)
        print(f"Times of the worker: {curve.get('source', args.worker_curve)}")
    if args.worker_per_second:
        times = replace(times, scale=args.worker_per_second / times.per_worker)
    lines = list(tables(times, args.peak))
    print("\n".join(lines))
    if args.picture:
        from capacity_picture import draw  # noqa: PLC0415  slow to import, and only needed here

        queues = draw(Plan(1e6, SIDES[0], args.peak, times), args.requests, args.picture)
        print("\n".join(queues))
        lines += ["", *queues]
    if args.page:
        write_into(args.page, lines)


if __name__ == "__main__":
    main()
