"""Which packages the CPU time of a request that is passed on goes to, by cProfile around the gateway.

The profiler slows Python down, and C not at all, so that the shares are of a slower gateway than `overhead.py` times.
What starting up costs is taken off. uvloop's own work cannot be seen by it, and is left out.

    .venv/bin/python loadtests/profile_overhead.py
"""

from __future__ import annotations

import argparse
import pstats
import re
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import uvloop

from hammer import hammer
from overhead import PATH, SHORT, long_body
from stand import sarlens, starter, static_worker

_PACKAGE = re.compile(r".*/(?:site-packages|service)/([A-Za-z_0-9]+)")
_PACKAGES = ("sarlens", "aiohttp", "uvicorn", "prometheus_client")


def seconds_by_package(body: bytes, requests: int) -> Counter[str]:
    """What a gateway spends on ``requests`` requests, and on starting and ending."""
    with tempfile.TemporaryDirectory() as state:
        path = Path(state) / "profile"
        with ExitStack() as stack:
            start = starter(stack, Path(state))
            worker_url, _ = static_worker(start, "worker")
            url, _ = sarlens(start, [worker_url], {}, ["-m", "cProfile", "-o", str(path)])
            uvloop.run(hammer(url, PATH, body, requests=requests, callers=32))
        return _read(path)


def _read(path: Path) -> Counter[str]:
    """Seconds by package. A function in C counts for the package that calls it."""
    seconds: Counter[str] = Counter()
    stats: dict[Any, Any] = vars(pstats.Stats(str(path)))["stats"]
    for (file, _, name), (_, _, own, _, callers) in stats.items():
        if file != "~":
            # The frame below uvloop, which the profiler takes for busy while uvloop waits.
            if name != "_exit_wrapper":
                seconds[_package(file)] += own
            continue
        for (caller, _, _), (_, _, part, _) in callers.items():
            seconds[_package(caller)] += part
    return seconds


def _package(file: str) -> str:
    found = _PACKAGE.match(file)
    return found[1] if found and found[1] in _PACKAGES else "the rest"


def main() -> None:
    """Profile short and long requests, print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=6000, help="short requests; a tenth are long")
    given = parser.parse_args()
    for name, body, requests in (
        ("1 kB", orjson.dumps(SHORT), given.requests),
        ("1 MB", long_body(), given.requests // 10),
    ):
        cost = seconds_by_package(body, 2 * requests) - seconds_by_package(body, requests)
        line = ", ".join(f"{package} {seconds / cost.total():.0%}" for package, seconds in cost.most_common())
        print(f"{name}: {1000 * cost.total() / requests:.2f} ms a request under the profiler: {line}")


if __name__ == "__main__":
    main()
