"""An hour at 70 % of what one core carries: does the gateway's memory, its descriptors or its latency creep?

Everything is real and shares one core: S3 server, vLLM worker, gateway and this client. Callers in a loop find how many
requests of the mix (``mix.py``) are answered a second; then they come at 70 % of that rate, whether or not earlier ones
are answered. Each minute becomes a row of OUT/soak.csv at once; ``flatness.py`` judges them and draws OUT/soak.png.

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

from flatness import Minute, draw, judge
from local_stack import MODEL, LocalStack, local_stack
from mix import Mix
from querent import Querent, open_querent
from stand import cpu_ms, memory_mb, open_loop

CALLERS = (4, 8, 16, 32)


@dataclass
class Tally:
    """What became of requests."""

    querent: Querent
    asked: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)

    async def ask(self) -> None:
        """Ask something and note how it went."""
        self.asked += 1
        began = monotonic()
        try:
            await self.querent.ask()
        except Exception as error:  # noqa: BLE001  whatever it is, the load goes on and it is told
            self.failed += 1
            self.reasons.add(f"{type(error).__name__}: {error}"[:300])
        else:
            self.seconds.append(monotonic() - began)

    def empty(self) -> dict[str, float]:
        """Counts and latencies since the last time."""
        cuts = statistics.quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [float("nan")] * 99
        told = {"asked": self.asked, "answered": len(self.seconds), "failed": self.failed}
        for reason in self.reasons:
            print(f"    failed: {reason}", flush=True)
        self.asked, self.failed, self.seconds, self.reasons = 0, 0, [], set()
        return {**told, "p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}


class Sampler:
    """Reads a gateway's process and the core it is on; each reading covers the time since the last one."""

    def __init__(self, parts: LocalStack, core: int | None) -> None:
        self._parts = parts
        self._core = core
        self._clocks = self._read_clocks()

    def _read_clocks(self) -> tuple[float, ...]:
        return 1000 * monotonic(), cpu_ms(self._parts.gateway), cpu_ms(self._parts.worker), busy_ms(self._core)

    def read(self) -> dict[str, float]:
        """Memory, descriptors, threads; use of the core in percent by the gateway, by the worker, and by all."""
        before, self._clocks = self._clocks, self._read_clocks()
        took, *used = (now - then for now, then in zip(self._clocks, before, strict=True))
        held = {"rss_mb": round(memory_mb(self._parts.gateway), 1)}
        for name, folder in (("fds", "fd"), ("threads", "task")):
            held[name] = len(list(Path(f"/proc/{self._parts.gateway.pid}/{folder}").iterdir()))
        names = ("gateway_pct", "worker_pct", "core_busy_pct")
        return held | {name: round(100 * each / took, 1) for name, each in zip(names, used, strict=True)}


def busy_ms(core: int | None) -> float:
    """Milliseconds that a core, or all of them together, were not idle since the machine started."""
    wanted = "cpu" if core is None else f"cpu{core}"
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    user, nice, system, _idle, _waiting, *more = map(int, next(line[1:] for line in lines if line[0] == wanted))
    return 1000 * (user + nice + system + sum(more[:3])) / os.sysconf("SC_CLK_TCK")


async def capacity(tally: Tally, seconds: float) -> float:
    """Requests that are answered a second by the best number of callers; a first stretch warms up."""
    best = 0.0
    for number, callers in enumerate((CALLERS[-1], *CALLERS)):
        began, until = monotonic(), monotonic() + seconds / (len(CALLERS) + 1)

        async def caller(until: float = until) -> None:
            while monotonic() < until:
                await tally.ask()

        await asyncio.gather(*(caller() for _ in range(callers)))
        per_second = len(tally.seconds) / (monotonic() - began)
        told = tally.empty()
        print(f"{callers} callers{'' if number else ', to warm up'}: {per_second:.1f} a second, {told}", flush=True)
        best = max(best, per_second) if number else 0.0
    return best


async def hold(tally: Tally, sampler: Sampler, rate: float, minutes: float, every_s: float, path: Path) -> list[Minute]:
    """Ask at a steady rate; a row of the table each ``every_s``."""
    rows: list[Minute] = []
    began = monotonic()
    load = asyncio.create_task(open_loop(tally.ask, rate, 60 * minutes))
    with path.open("w", newline="") as file:
        for number in range(1, int(60 * minutes / every_s) + 1):
            await asyncio.sleep(max(0.0, began + number * every_s - monotonic()))
            rows.append({"minute": round(number * every_s / 60, 3), **tally.empty(), **sampler.read()})
            writer = csv.DictWriter(file, rows[-1])
            if number == 1:
                writer.writeheader()
            writer.writerow(rows[-1])
            file.flush()
            print("  ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    await load
    return rows


async def soak(parts: LocalStack, given: argparse.Namespace) -> list[Minute]:
    """Find the capacity, then hold a part of it."""
    async with open_querent(parts.url, parts.grpc, Mix(MODEL, parts.scenes)) as querent:
        tally = Tally(querent)
        most = await capacity(tally, given.ramp_s)
        rate = given.load * most
        print(f"capacity {most:.1f} requests a second; holding {rate:.1f} for {given.minutes:g} minutes", flush=True)
        sampler = Sampler(parts, given.core)
        return await hold(tally, sampler, rate, given.minutes, given.every_s, given.out / "soak.csv")


def main() -> int:
    """Start everything, soak, judge; 0 where all is flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, help="core that all processes are held to; left out, any")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--load", type=float, default=0.7, help="part of the capacity that is asked for")
    parser.add_argument("--ramp-s", type=float, default=100, help="time in which the capacity is found")
    parser.add_argument("--every-s", type=float, default=60, help="time between two rows")
    parser.add_argument("--out", type=Path, default=Path("load"), help="where soak.csv and soak.png go")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    with ExitStack() as stack:
        rows = uvloop.run(soak(local_stack(stack), given))
    draw(rows, given.out / "soak.png")
    lines, flat = judge(rows)
    print("\n".join(lines))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
