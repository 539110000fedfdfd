"""Load of eight workers for ten thousand questions about Zipf-distributed images, relative to the mean.

.venv/bin/python loadtests/balance.py
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from harness import print_machine, sarlens, starter
from sarlens.routing.candidates import Candidates
from sarlens.routing.candidates import Fleet as RoutedFleet
from sarlens.routing.router import Router
from zipf_clients import Fleet, ask_each, zipf


def request_counts(fleet: Fleet) -> list[int]:
    """Return the number of requests that each worker answered."""
    return [counts["answered"] for counts in fleet.counts()]


def moved_share(workers: int, images: int = 10_000) -> float:
    """Return the fraction of images whose worker changes if a worker is added to ``workers``."""
    names = [f"http://worker-{i}:8000" for i in range(workers + 1)]
    router = Router("affinity", load_bound=1.25)
    before, after = (
        Candidates(RoutedFleet(some), np.zeros(len(some)), np.ones(len(some))) for some in (names[:-1], names)
    )
    ids = [f"picture-{i}" for i in range(images)]
    return sum(next(router.rank(before, id_)) != next(router.rank(after, id_)) for id_ in ids) / images


def main() -> None:
    """Send the requests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--callers", type=int, nargs="*", default=[64, 256], help="concurrent requests")
    args = parser.parse_args()
    print_machine()
    print(f"{'callers':>8}  share of each of 8 workers, in times the mean; the largest")
    for callers in args.callers:
        with ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            start = starter(stack, state)
            fleet = Fleet()
            for _ in range(8):
                fleet.add(start, "--pause-s", "0.1")
            url, _ = sarlens(start, fleet.urls, {})
            asyncio.run(ask_each(url, zipf(args.requests, args.images), callers=callers, streams=False))
            shares = [count * 8 / args.requests for count in request_counts(fleet)]
            print(f"{callers:>8}  {' '.join(f'{share:.2f}' for share in sorted(shares))}; {max(shares):.3f}")
    for workers in (2, 4, 8):
        print(
            f"one worker added to {workers}: {moved_share(workers):.1%} of images move; 1/N is {1 / (workers + 1):.1%}"
        )


if __name__ == "__main__":
    main()
