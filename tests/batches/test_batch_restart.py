"""Batches across restarts: kill -9 and SIGTERM of real gateway processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from sarlens.devstack.ports import free_port
from support.batches import create, ended, lines_of
from support.workers.fake_worker import MODEL, FakeWorker
from surveys.gateway_process import gateway_process

CHAT = "/v1/chat/completions"
LINES = 120
CONCURRENT = 4


@pytest.fixture
def environment(worker: FakeWorker, tmp_path: Path) -> dict[str, str]:
    """Environment of a gateway process with a job database in a file, whose batches run 4 lines at a time."""
    worker.says = lambda body: body["messages"][0]["content"]
    worker.pause_s = 0.01
    return {
        "SARLENS_WORKER__URLS": json.dumps([worker.url]),
        "SARLENS_WORKER__PROBE_INTERVAL_S": "0.2",
        "SARLENS_BATCH__MAX_CONCURRENT_LINES": str(CONCURRENT),
        "SARLENS_SURVEY__DATABASE": f"sqlite:///{tmp_path / 'jobs.db'}",
        "SARLENS_FILES__LOCATION": str(tmp_path / "files"),
        "SARLENS_GRPC__PORT": "none",
    }


def bodies() -> dict[str, Any]:
    """A chat for each line, which the worker repeats."""
    return {
        f"line-{index}": {"model": MODEL, "messages": [{"role": "user", "content": f"text {index}"}]}
        for index in range(LINES)
    }


def stored_lines(environment: dict[str, str]) -> int:
    """Count the results in the database file."""
    file = environment["SARLENS_SURVEY__DATABASE"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("select count(*) from sarlens_lines").fetchone()[0])


async def wait_for_lines(sdk: openai.AsyncOpenAI, batch_id: str, count: int) -> None:
    """Wait until a number of lines is complete."""
    async with asyncio.timeout(60):
        while True:
            counts = (await sdk.batches.retrieve(batch_id)).request_counts
            if counts is not None and counts.completed >= count:
                return
            await asyncio.sleep(0.02)


def sent_texts(worker: FakeWorker) -> Counter[str]:
    """Number of requests that the worker got, by text."""
    return Counter(body["messages"][0]["content"] for body in worker.requests)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "drain"])
async def test_a_batch_continues(environment: dict[str, str], worker: FakeWorker, kill: signal.Signals) -> None:
    """After a restart, lines with a stored result don't run again, and each line has one result.

    After kill -9, those that run twice are at most the 4 that were in progress; after SIGTERM, none runs twice.
    """
    port = free_port()
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as sdk:
        async with gateway_process(environment, port) as process:
            batch = await create(sdk, CHAT, bodies())
            await wait_for_lines(sdk, batch.id, 20)
            process.send_signal(kill)
            await asyncio.to_thread(process.wait)
        async with asyncio.timeout(10):
            while worker.running:
                await asyncio.sleep(0.01)
        stored, sent = stored_lines(environment), sum(sent_texts(worker).values())
        assert 20 <= stored <= sent < LINES
        async with gateway_process(environment, port):
            batch = await ended(sdk, batch.id)
            output = await lines_of(sdk, batch.output_file_id)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed, batch.error_file_id) == ("completed", LINES, None)
    assert [line["custom_id"] for line in output] == list(bodies())
    texts = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert texts == [f"text {index}" for index in range(LINES)]
    again = sent_texts(worker).total() - LINES
    assert again == sent - stored
    assert max(sent_texts(worker).values()) <= 2
    assert again <= (CONCURRENT if kill is signal.SIGKILL else 0)
