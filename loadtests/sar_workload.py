"""Throughput of Sarlens and peers with two vLLM workers: forty radar scenes with eight questions each, in random order.

Each round asks about new scenes, in every row. Sarlens receives the S3 URL of the 16-bit scene. Naive clients of peers
send an 8-bit PNG of the scene with each question, without an id. In the rows with a rendered PNG, the clients have
rendered it at the input size of the model; Sarlens has such a row too. In the rows with an id, clients also send vLLM's
``uuid`` of the image. ``--worker-cores 0`` binds the workers to core 0 and everything else to the other cores.

    make peers && .venv/bin/python loadtests/sar_workload.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import orjson

from harness import JSON, Start, peer, pin, print_machine, run_ms, run_ms_apart, sarlens, starter, vllm_worker
from sar_scenes import MODEL_SIDE, SIDE, Pixels, marked, png, scene, tiff
from sar_tables import Figures, image_misses, tables
from sarbench.nano.checkpoint import write_trained
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.runtime.child_process import ManagedProcess

QUESTIONS = (
    "Are there any ships in the image?",
    "Are there any bridges in the image?",
    "Is there any harbor in the image?",
    "How many ships are in the image?",
    "How many tanks are in the image?",
    "How many aircraft are in the image?",
    "What is the land cover of the image?",
    "Where is the ship positioned within the image?",
)
PEER_NAMES = ("vllm-router", "smg", "litellm")
VARIANTS = (
    ("scene as PNG", SIDE, False),
    ("rendered PNG", MODEL_SIDE, False),
    ("rendered PNG and id", MODEL_SIDE, True),
)
"""What clients of peers send: name, side in pixels, and whether an id goes with it."""
_MODEL = "sarlens-nano"


@dataclass
class Row:
    """One row of the table: the target, what clients send, and the measured figures."""

    name: str
    url: str
    process: ManagedProcess
    image: Callable[[int, int], str]
    """Returns the image URL of a scene, from the round and the index of the scene."""
    with_id: bool = False
    """Whether clients send an id of the image, too."""
    rounds: list[Figures] = field(default_factory=list)


def body(image: str, question: str, image_id: str | None) -> bytes:
    """Return a chat about an image, with the image before the question."""
    part: dict[str, object] = {"type": "image_url", "image_url": {"url": image}}
    if image_id is not None:
        part["uuid"] = image_id
    text = {"type": "text", "text": f"Question: {question}. Answer the question concisely."}
    messages = [{"role": "user", "content": [part, text]}]
    return orjson.dumps({"model": _MODEL, "messages": messages, "max_tokens": 8, "temperature": 0})


async def ask_all(row: Row, number: int, scenes: int, callers: int) -> float:
    """Ask every question about every scene in random order; return the answers per second."""
    images = [row.image(number, index) for index in range(scenes)]
    ids = [f"{row.name} {number} {index}" if row.with_id else None for index in range(scenes)]
    requests = [(index, question) for index in range(scenes) for question in QUESTIONS]
    random.Random(number).shuffle(requests)
    remaining = iter(requests)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def caller() -> None:
            for index, question in remaining:
                data = body(images[index], question, ids[index])
                async with session.post(f"{row.url}/v1/chat/completions", data=data, headers=JSON) as response:
                    answer = await response.read()
                    assert response.status == 200, (row.name, response.status, answer[:300])

        began = loop.time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return len(requests) / (loop.time() - began)


def measure(row: Row, workers: Mapping[str, ManagedProcess], number: int, scenes: int, callers: int) -> Figures:
    """Ask about the scenes of one round, and return the figures."""
    answers = scenes * len(QUESTIONS)
    router, worker = run_ms(row.process), run_ms_apart(*workers.values())
    misses = asyncio.run(image_misses(workers))
    per_second = asyncio.run(ask_all(row, number, scenes, callers))
    after = run_ms_apart(*workers.values())
    return Figures(
        per_second,
        (run_ms(row.process) - router) / answers,
        (after[0] - worker[0]) / answers,
        (after[1] - worker[1]) / answers,
        (asyncio.run(image_misses(workers)) - misses) / scenes,
    )


def _rows(
    start: Start, state: Path, workers: list[str], scenes: list[Pixels], s3_url: str, peers: Sequence[str]
) -> list[Row]:
    url, process = sarlens(start, workers, {"SARLENS_S3__ENDPOINT": s3_url, **S3_CREDENTIALS})
    rows = [Row("Sarlens, s3:// scene", url, process, lambda number, n: f"s3://scenes/{number}-{n}.tif")]
    targets = [("Sarlens", url, process)]
    targets += [(name, *peer(start, name, workers, _MODEL, state)) for name in peers]
    for name, url, process in targets:
        for variant, side, with_id in VARIANTS[1:2] if name == "Sarlens" else VARIANTS:

            def image(number: int, n: int, side: int = side, mark: int = len(rows)) -> str:
                return png(marked(scenes[n], 1000 * (number + 1) + mark), side)

            rows.append(Row(f"{name}, {variant}", url, process, image, with_id))
    return rows


def start_all(stack: ExitStack, args: argparse.Namespace) -> tuple[dict[str, ManagedProcess], list[Row]]:
    """Write the scenes of all rounds, and start workers, S3 server and routers; return the workers and the rows."""
    rng = np.random.default_rng(0)
    scenes = [scene(rng) for _ in range(args.scenes)]
    state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    start = starter(stack, state)
    write_trained(state / _MODEL)
    workers = dict(vllm_worker(start, f"worker-{number}", state / _MODEL) for number in range(2))
    if args.worker_cores:
        for process in workers.values():
            pin(process, args.worker_cores)
        # Child processes inherit the cores.
        os.sched_setaffinity(0, os.sched_getaffinity(0) - set(args.worker_cores))
    os.environ.update(S3_CREDENTIALS)
    s3_port = free_port()
    s3_url = f"http://127.0.0.1:{s3_port}"
    s3 = start("s3", seaweedfs_command(state / "s3", s3_port), {})
    (state / "scenes").mkdir()
    for number in range(args.rounds + 1):
        for n, pixels in enumerate(scenes):
            tiff(state / "scenes" / f"{number}-{n}.tif", marked(pixels, number))
    upload_samples(s3, s3_url, state / "scenes")
    return workers, _rows(start, state, list(workers), scenes, s3_url, args.peers)


def main() -> None:
    """Start all processes, measure them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--peers", nargs="*", default=PEER_NAMES, help="peers to compare with")
    parser.add_argument("--callers", type=int, default=16, help="concurrent requests")
    parser.add_argument("--worker-cores", type=int, nargs="*", help="cores for the workers alone, for example 0")
    args = parser.parse_args()
    with ExitStack() as stack:
        workers, rows = start_all(stack, args)
        for number in range(args.rounds + 1):
            # Round 0 warms up and isn't counted. Rows change their order, so that none is always the first.
            for row in reversed(rows) if number % 2 else rows:
                figures = measure(row, workers, number, args.scenes, args.callers)
                print(f"round {number}: {row.name}: {figures.per_second:.1f} a second", file=sys.stderr)
                row.rounds += [figures] if number else []
    print_machine()
    print(f"Workers on cores {args.worker_cores}, the rest on others" if args.worker_cores else "All on all cores")
    print("\n".join(tables({row.name: row.rounds for row in rows})))


if __name__ == "__main__":
    main()
