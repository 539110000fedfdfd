"""Failures of mock workers, and the figure that shows the effect of each on callers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import aiohttp

from comparison import Bench, Row
from zipf_clients import Fleet, data_url


class Answer(NamedTuple):
    """A response."""

    status: int
    text: str
    seconds: float


async def ask(session: aiohttp.ClientSession, url: str, image: int, *, stream: bool = False) -> Answer:
    """Ask about an image."""
    content = [
        {"type": "image_url", "image_url": {"url": data_url(image)}},
        {"type": "text", "text": "How many ships are in the image?"},
    ]
    body = {"model": "sarlens-nano", "messages": [{"role": "user", "content": content}], "stream": stream}
    began = perf_counter()
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        return Answer(response.status, await response.text(), perf_counter() - began)


async def ask_together(url: str, images: Sequence[int], *, stream: bool = False, pause_s: float = 0) -> list[Answer]:
    """Ask about each image, one request every ``pause_s`` seconds, independent of earlier responses."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = []
        for image in images:
            tasks.append(asyncio.create_task(ask(session, url, image, stream=stream)))
            await asyncio.sleep(pause_s)
        return await asyncio.gather(*tasks)


def faulty(bench: Bench, workers: int, fault: str) -> tuple[Fleet, str]:
    """Start workers and a gateway; then all workers fail."""
    fleet = bench.workers(workers)
    url, _ = bench.gateway(fleet)
    for number in range(workers):
        fleet.begin(number, fault)
    return fleet, url


def lost_worker(bench: Bench) -> str:
    """Stop the process of one of two workers while both have requests in flight."""
    fleet = bench.workers(2, "--pause-s", "2")
    url, _ = bench.gateway(fleet, {"SARLENS_WORKER__RESPONSE_TIMEOUT_S": "60"})

    async def run() -> list[Answer]:
        asking = asyncio.create_task(ask_together(url, range(16)))
        await asyncio.sleep(1)
        os.kill(fleet.processes[0].pid, signal.SIGSTOP)
        return await asking

    answers = asyncio.run(run())
    os.kill(fleet.processes[0].pid, signal.SIGCONT)
    answered = sum(answer.status == 200 for answer in answers)
    return f"{max(answer.seconds for answer in answers):.1f} s, {answered} of 16"


def error_first(bench: Bench) -> str:
    """Stream from two workers, both of which send an error as the first event."""
    _, url = faulty(bench, 2, "error event")
    answers = asyncio.run(ask_together(url, range(20), stream=True, pause_s=0.02))
    return ", ".join(
        f"{count} with status {status}" for status, count in Counter(answer.status for answer in answers).items()
    )


def error_midway(bench: Bench) -> str:
    """Stream from a worker that sends errors as the third event, and count them in the metrics."""
    _, url = faulty(bench, 1, "error midway")

    async def run() -> float:
        await ask_together(url, range(20), stream=True)
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
            lines = (await response.text()).splitlines()
        labels = ("sarlens_requests_total{", 'outcome="answered"', "/v1/chat/completions")
        return sum(float(line.split()[-1]) for line in lines if all(label in line for label in labels))

    return f"{asyncio.run(run()):.0f} of 20"


def crash(bench: Bench) -> str:
    """Send a request whose body makes each of four workers close the connection."""
    fleet, url = faulty(bench, 4, "reset")
    asyncio.run(ask_together(url, [0]))
    return " ".join(str(counts["asked"]) for counts in fleet.counts())


def slow_probe(bench: Bench) -> str:
    """Ask a worker that responds in time, but to health checks after 6 s."""
    fleet, url = faulty(bench, 1, "slow health")
    answers = asyncio.run(ask_together(url, [number % 2 for number in range(40)], pause_s=0.5))
    failed = sum(answer.status != 200 for answer in answers)
    return f"{failed} of 40, {fleet.counts()[0]['images']}"


def hot_image(bench: Bench) -> str:
    """Ask 60 questions about one image at the same time."""
    fleet = bench.workers(3, "--pause-s", "0.3")
    url, _ = bench.gateway(fleet)
    asyncio.run(ask_together(url, [0] * 60))
    return " ".join(str(counts["images"]) for counts in fleet.counts())


def no_first_token(bench: Bench) -> str:
    """Stream from three workers that never respond."""
    fleet = bench.workers(3)
    url, _ = bench.gateway(fleet, {"SARLENS_WORKER__FIRST_TOKEN_TIMEOUT_S": "3"})
    for number in range(3):
        fleet.begin(number, "hang")
    (answer,) = asyncio.run(ask_together(url, [0], stream=True))
    return f"{answer.status}, {answer.seconds:.1f} s"


ROWS = [
    Row("13 worker stopped (SIGSTOP)", "slowest of 16 requests in flight, answered", lost_worker),
    Row("14 error as first event, at both workers", "statuses of 20 streams", error_first),
    Row("14 error within a stream", "counted as answered", error_midway),
    Row("15 request that crashes workers", "requests to each of 4 workers", crash),
    Row("18 health check of 6 s", "failed requests, images sent of 2", slow_probe),
    Row("19 image asked 60 times at once", "copies sent to each of 3 workers", hot_image),
    Row("19 three workers without a first token", "status, time, with a time-out of 3 s", no_first_token),
]
