"""CPU time of a forwarded request by layer of the gateway, from cProfile around it.

The profiler slows down Python but not C, so the shares are those of a slower gateway than in ``overhead.py``. The cost
of startup is subtracted. cProfile can't measure the work inside uvloop.

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

from harness import print_machine, sarlens, starter, stub_worker
from overhead import PATH, SHORT, long_body
from raw_http_load import hammer

# The first pattern that a file matches is its layer.
LAYERS = {
    "HTTP server": r"/(uvicorn|sarlens/server)/",
    "worker client": r"/(aiohttp|sarlens/workers/clients|sarlens/workers/event_stream)",
    "worker pool and routing": r"/sarlens/(workers|routing)/",
    "inference": r"/sarlens/inference/",
    "metrics, log and traces": r"/(prometheus_client|structlog|opentelemetry|sarlens/observability|logging)/",
    "admission": r"/sarlens/(admission|json_input)",
    "chat body and images": r"/sarlens/(chat|imagery)/",
    "routes and middlewares": r"/(starlette|sarlens/api)/",
    "asyncio and contextlib": r"/(asyncio/|contextlib)",
}
_REST = "the rest"


def seconds_by_layer(body: bytes, requests: int) -> Counter[str]:
    """Return the seconds that a gateway spends on startup, on ``requests`` requests, and on shutdown."""
    with tempfile.TemporaryDirectory() as state:
        path = Path(state) / "profile"
        with ExitStack() as stack:
            start = starter(stack, Path(state))
            worker_url, _ = stub_worker(start, "worker")
            url, _ = sarlens(start, [worker_url], {}, ["-m", "cProfile", "-o", str(path)])
            uvloop.run(hammer(url, PATH, body, requests=requests, callers=32))
        return _read(path)


def _read(path: Path) -> Counter[str]:
    """Read the seconds by layer. The time of a C function belongs to its caller's layer."""
    seconds: Counter[str] = Counter()
    stats: dict[Any, Any] = vars(pstats.Stats(str(path)))["stats"]
    for (file, _, name), (_, _, own, _, callers) in stats.items():
        if file != "~":
            # The profiler counts this frame below uvloop as busy while uvloop waits.
            if name != "_exit_wrapper":
                seconds[layer_of(file)] += own
            continue
        for (caller, _, _), (_, _, part, _) in callers.items():
            seconds[layer_of(caller)] += part
    return seconds


def layer_of(file: str) -> str:
    """Return the layer that a source file belongs to."""
    return next((layer for layer, pattern in LAYERS.items() if re.search(pattern, file)), _REST)


def main() -> None:
    """Profile short and long requests and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=6000, help="short requests; long ones are a tenth")
    args = parser.parse_args()
    print_machine()
    for name, body, requests in (
        ("1 kB", orjson.dumps(SHORT), args.requests),
        ("1 MB", long_body(), args.requests // 10),
    ):
        cost = seconds_by_layer(body, 2 * requests) - seconds_by_layer(body, requests)
        print(f"{name}: {1000 * cost.total() / requests:.2f} ms a request under the profiler")
        for layer in [*LAYERS, _REST]:
            print(f"  {layer:26}{1000 * cost[layer] / requests:8.3f} ms{cost[layer] / cost.total():6.0%}")


if __name__ == "__main__":
    main()
