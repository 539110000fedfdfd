"""What passing a request on costs: CPU time of the router alone, and requests a second at saturation, with peers.

The worker is a static one. The long body holds a picture of 1 MB in base64.

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

from hammer import hammer
from sarlens.child import Child
from stand import cpu_ms, peer, sarlens, spread, starter, static_worker

PATH = "/v1/chat/completions"
SHORT = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}


@dataclass
class Row:
    """Who is asked what, and what it cost."""

    name: str
    url: str
    process: Child
    body: bytes
    requests: int
    milliseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


def long_body() -> bytes:
    """A chat with a grey picture of about a megabyte in base64: a PNG of noise."""
    side = 886
    noise = Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side))
    held = io.BytesIO()
    noise.save(held, "png")
    url = f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "How many ships?"}]
    return orjson.dumps({"model": "sarlens-nano", "messages": [{"role": "user", "content": content}]})


async def measure(rows: list[Row], rounds: int, callers: int) -> None:
    """Fill the rows' figures, every row once a round."""
    for number in range(rounds + 1):
        for row in rows:
            before = cpu_ms(row.process)
            per_second = await hammer(row.url, PATH, row.body, requests=row.requests, callers=callers)
            if number:
                row.milliseconds.append((cpu_ms(row.process) - before) / row.requests)
                row.per_second.append(per_second)
        print(f"round {number} of {rounds} done", file=sys.stderr)


def main() -> None:
    """Start everything, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6000, help="short requests a round and row; a tenth are long")
    parser.add_argument("--callers", type=int, default=32, help="requests at the same time")
    parser.add_argument("--peers", nargs="*", default=["vllm-router", "smg"], help="peers to compare with")
    given = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, worker = static_worker(start, "worker")
        url, process = sarlens(start, [worker_url], {})
        routers = [("the worker itself", worker_url, worker), ("Sarlens", url, process)]
        routers += [(name, *peer(start, name, [worker_url], "sarlens-nano", state)) for name in given.peers]
        rows = [Row(f"{name}, 1 kB", at, process, orjson.dumps(SHORT), given.requests) for name, at, process in routers]
        rows += [Row(f"{name}, 1 MB", at, process, long_body(), given.requests // 10) for name, at, process in routers]
        uvloop.run(measure(rows, given.rounds, given.callers))
    print(f"{'':28}CPU ms a request             requests a second")
    for row in rows:
        print(f"{row.name:28}{spread(row.milliseconds, '.3f')}   {spread(row.per_second, '.0f')}")


if __name__ == "__main__":
    main()
