"""Cost of forwarding a request: CPU time of the router, and requests per second at saturation, with peers.

The worker is ``stub_worker.py``. The long body holds an image of 1 MB in base64.

    make peers && .venv/bin/python loadtests/overhead.py
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from PIL import Image

from harness import paired, peer, print_machine, run_ms, sarlens, spread, starter, stub_worker
from raw_http_load import hammer
from sarlens.runtime.child_process import ManagedProcess

PATH = "/v1/chat/completions"
SHORT = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}


@dataclass
class Row:
    """One row of the table: the target, the request, and the measured figures."""

    name: str
    url: str
    process: ManagedProcess
    body: bytes
    requests: int
    milliseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


def long_body() -> bytes:
    """Return a chat with a PNG of noise, about 1 MB in base64."""
    side = 886
    noise = Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side))
    buffer = io.BytesIO()
    noise.save(buffer, "png")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "How many ships?"}]
    return orjson.dumps({"model": "sarlens-nano", "messages": [{"role": "user", "content": content}]})


async def measure(rows: list[Row], rounds: int, callers: int) -> None:
    """Measure every row once a round; round 0 warms up."""
    for number in range(rounds + 1):
        for row in rows:
            before = run_ms(row.process)
            per_second = await hammer(row.url, PATH, row.body, requests=row.requests, callers=callers)
            if number:
                row.milliseconds.append((run_ms(row.process) - before) / row.requests)
                row.per_second.append(per_second)
        print(f"round {number} of {rounds} done", file=sys.stderr)


def ratios(rows: list[Row]) -> list[str]:
    """Return a line for each row of a peer: the CPU time of Sarlens over that of the peer, by round."""
    ours = {row.body: row for row in rows if row.name.startswith("Sarlens")}
    return [
        f"Sarlens over {row.name}: {spread(paired(ours[row.body].milliseconds, row.milliseconds), '.2f').strip()}"
        for row in rows
        if not row.name.startswith(("Sarlens", "the worker"))
    ]


def main() -> None:
    """Start all processes, measure them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--requests", type=int, default=6000, help="short requests per round and row; long ones are a tenth"
    )
    parser.add_argument("--callers", type=int, default=32, help="concurrent requests")
    parser.add_argument("--peers", nargs="*", default=["vllm-router", "smg"], help="peers to compare with")
    args = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, worker = stub_worker(start, "worker")
        url, process = sarlens(start, [worker_url], {})
        routers = [("the worker itself", worker_url, worker), ("Sarlens", url, process)]
        routers += [(name, *peer(start, name, [worker_url], "sarlens-nano", state)) for name in args.peers]
        rows = [
            Row(f"{name}, 1 kB", target, process, orjson.dumps(SHORT), args.requests)
            for name, target, process in routers
        ]
        rows += [
            Row(f"{name}, 1 MB", target, process, long_body(), args.requests // 10) for name, target, process in routers
        ]
        uvloop.run(measure(rows, args.rounds, args.callers))
    print_machine()
    print(f"{'':28}CPU ms a request             requests a second")
    for row in rows:
        print(f"{row.name:28}{spread(row.milliseconds, '.3f')}   {spread(row.per_second, '.0f')}")
    print("\n".join(ratios(rows)))


if __name__ == "__main__":
    main()
