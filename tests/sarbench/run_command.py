"""The ``sarbench run`` command for tests, against a fake endpoint."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from sarbench.cli import app
from support.workers.fake_openai_server import FakeOpenAIServer

TEST_TEXTS = 20
"""Texts in the test split of the released fixture."""


def run_arguments(oracle: FakeOpenAIServer, data: Path, out: Path, *more: str) -> list[str]:
    """Return the command line of a run."""
    return ["run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out), *more]


async def run_command(oracle: FakeOpenAIServer, data: Path, out: Path, *more: str) -> Result:
    """Run the command in a thread, next to the endpoint."""
    return await asyncio.to_thread(CliRunner().invoke, app, run_arguments(oracle, data, out, *more))


def read_errors(out: Path) -> list[dict[str, Any]]:
    """Return the logged failures."""
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
