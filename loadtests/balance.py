"""How evenly ten thousand questions about Zipf-distributed images fall on eight workers.

.venv/bin/python loadtests/balance.py
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from crowd import Fleet, ask_each, zipf
from sarlens.routing.policy import Candidate, affinity
from stand import sarlens, starter


def answered(fleet: Fleet) -> list[int]:
    """Requests that each worker has answered."""
    counts = []
    for url in fleet.urls:
        with urllib.request.urlopen(f"{url}/count") as response:
            counts.append(int(response.read()))
    return counts


def moved(workers: int, pictures: int = 10_000) -> float:
    """The part of pictures whose worker is another one when one worker is added to ``workers``."""
    fleet = [Candidate(f"http://worker-{i}:8000") for i in range(workers + 1)]
    names = [f"picture-{i}" for i in range(pictures)]
    return sum(affinity(fleet, name, 1.25)[0] != affinity(fleet[:-1], name, 1.25)[0] for name in names) / pictures


def main() -> None:
    """Ask, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--callers", type=int, nargs="*", default=[64, 256], help="questions at the same time")
    given = parser.parse_args()
    print(f"{'callers':>8}  share of each of 8 workers, in times the mean; the largest")
    for callers in given.callers:
        with ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            start = starter(stack, state)
            fleet = Fleet()
            for _ in range(8):
                fleet.add(start, "--pause-s", "0.1")
            url, _ = sarlens(start, fleet.urls, {})
            asyncio.run(ask_each(url, zipf(given.requests, given.pictures), callers=callers, streams=False))
            shares = [count * 8 / given.requests for count in answered(fleet)]
            print(f"{callers:>8}  {' '.join(f'{share:.2f}' for share in sorted(shares))}; {max(shares):.3f}")
    for workers in (2, 4, 8):
        print(f"a worker more beside {workers}: {moved(workers):.1%} of pictures move; 1/N is {1 / (workers + 1):.1%}")


if __name__ == "__main__":
    main()
