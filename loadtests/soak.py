"""Soak test: an hour at 70 % of the capacity of one core, to detect growth of memory, file descriptors and latency.

S3 server, vLLM worker, gateway and client share one core. Closed-loop clients measure the capacity for requests of
``workload_mix.py``. Then requests arrive at 70 % of that rate, independent of earlier responses. Each minute adds a row
to OUT/soak.csv. ``drift_check.py`` checks the rows and plots them to OUT/soak.png.

    .venv/bin/python loadtests/soak.py --core 1
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import uvloop

from drift_check import Minute, draw, judge
from harness import cpu_ms, memory_mb, open_loop, print_machine
from local_stack import MODEL, LocalStack, local_stack
from mixed_client import MixedClient, RequestFailed, open_client
from workload_mix import Mix

CALLERS = (4, 8, 16, 32)


@dataclass
class Tally:
    """Sends requests, and counts their results."""

    client: MixedClient
    asked: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)

    async def ask(self) -> None:
        """Send a request and record its result."""
        self.asked += 1
        began = monotonic()
        try:
            await self.client.ask()
        except RequestFailed as error:
            self.failed += 1
            self.reasons.add(f"{error.code}: {error}"[:300])
        else:
            self.seconds.append(monotonic() - began)

    def reset(self) -> dict[str, float]:
        """Return the counts and latencies since the last reset."""
        percentiles = statistics.quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [float("nan")] * 99
        counts = {"asked": self.asked, "answered": len(self.seconds), "failed": self.failed}
        for reason in self.reasons:
            print(f"    failed: {reason}", flush=True)
        self.asked, self.failed, self.seconds, self.reasons = 0, 0, [], set()
        return {**counts, "p50_ms": round(1000 * percentiles[49], 1), "p99_ms": round(1000 * percentiles[98], 1)}


class Sampler:
    """Samples the gateway's process and its core; each sample covers the time since the last one."""

    def __init__(self, local: LocalStack, core: int | None) -> None:
        self._local = local
        self._core = core
        self._clocks = self._read_clocks()

    def _read_clocks(self) -> tuple[float, ...]:
        return 1000 * monotonic(), cpu_ms(self._local.gateway), cpu_ms(self._local.worker), busy_ms(self._core)

    def read(self) -> dict[str, float]:
        """Return memory, descriptors and threads of the gateway, and the use of the core in percent."""
        before, self._clocks = self._clocks, self._read_clocks()
        elapsed_ms, *used = (now - earlier for now, earlier in zip(self._clocks, before, strict=True))
        sample = {"rss_mb": round(memory_mb(self._local.gateway), 1)}
        for name, folder in (("fds", "fd"), ("threads", "task")):
            sample[name] = len(list(Path(f"/proc/{self._local.gateway.pid}/{folder}").iterdir()))
        names = ("gateway_pct", "worker_pct", "core_busy_pct")
        return sample | {name: round(100 * used_ms / elapsed_ms, 1) for name, used_ms in zip(names, used, strict=True)}


def busy_ms(core: int | None) -> float:
    """Return the busy milliseconds of a core, or of all cores, since boot."""
    label = "cpu" if core is None else f"cpu{core}"
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    user, nice, system, _idle, _waiting, *more = map(int, next(line[1:] for line in lines if line[0] == label))
    return 1000 * (user + nice + system + sum(more[:3])) / os.sysconf("SC_CLK_TCK")


async def capacity(tally: Tally, seconds: float) -> float:
    """Return the maximum responses per second over several numbers of callers; the first phase warms up."""
    best = 0.0
    for number, callers in enumerate((CALLERS[-1], *CALLERS)):
        began, until = monotonic(), monotonic() + seconds / (len(CALLERS) + 1)

        async def caller(until: float = until) -> None:
            while monotonic() < until:
                await tally.ask()

        await asyncio.gather(*(caller() for _ in range(callers)))
        per_second = len(tally.seconds) / (monotonic() - began)
        counts = tally.reset()
        print(f"{callers} callers{'' if number else ', to warm up'}: {per_second:.1f} a second, {counts}", flush=True)
        best = max(best, per_second) if number else 0.0
    return best


async def hold(tally: Tally, sampler: Sampler, rate: float, minutes: float, every_s: float, path: Path) -> list[Minute]:
    """Send requests at a steady rate, and write a row every ``every_s`` seconds."""
    rows: list[Minute] = []
    began = monotonic()
    load = asyncio.create_task(open_loop(tally.ask, rate, 60 * minutes))
    with path.open("w", newline="") as file:
        for number in range(1, int(60 * minutes / every_s) + 1):
            await asyncio.sleep(max(0.0, began + number * every_s - monotonic()))
            rows.append({"minute": round(number * every_s / 60, 3), **tally.reset(), **sampler.read()})
            writer = csv.DictWriter(file, rows[-1])
            if number == 1:
                writer.writeheader()
            writer.writerow(rows[-1])
            file.flush()
            print("  ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    await load
    return rows


async def soak(local: LocalStack, args: argparse.Namespace) -> list[Minute]:
    """Measure the capacity, then load a fraction of it."""
    async with open_client(local.url, local.grpc, Mix(MODEL, local.scenes)) as client:
        tally = Tally(client)
        max_rate = await capacity(tally, args.ramp_s)
        rate = args.load * max_rate
        print(f"capacity {max_rate:.1f} requests a second; holding {rate:.1f} for {args.minutes:g} minutes", flush=True)
        sampler = Sampler(local, args.core)
        return await hold(tally, sampler, rate, args.minutes, args.every_s, args.out / "soak.csv")


def main() -> int:
    """Run the soak test, and return 0 if every column is flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, help="core to pin all processes to; default: any")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--load", type=float, default=0.7, help="load, as a fraction of the capacity")
    parser.add_argument("--ramp-s", type=float, default=100, help="time to measure the capacity, in seconds")
    parser.add_argument("--every-s", type=float, default=60, help="interval between rows, in seconds")
    parser.add_argument("--out", type=Path, default=Path("load"), help="folder of soak.csv and soak.png")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    with ExitStack() as stack:
        rows = uvloop.run(soak(local_stack(stack), args))
    draw(rows, args.out / "soak.png")
    lines, flat = judge(rows)
    print_machine()
    print("\n".join(lines))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
