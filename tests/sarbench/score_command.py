"""The commands ``sarbench run`` and ``sarbench score`` for tests, against fake endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarlens.prompts.applications import CAPTION_PROMPT
from support.sarlang_fixture import BOXED, CONCISE, GENERAL
from support.workers.fake_openai_server import FakeOpenAIServer

TRUTHS = {question: answer for _, question, answer, _ in (*BOXED, *GENERAL)}


def true_answers(**replacements: str) -> Callable[[str], str]:
    """Return a function from prompt to true answer, with some truths replaced. All captions are the same."""

    def answer(prompt: str) -> str:
        if prompt == CAPTION_PROMPT:
            return CONCISE[0][1]
        truth = next(TRUTHS[question] for question in TRUTHS if question in prompt)
        return replacements.get(truth, truth)

    return answer


async def sarbench_command(*arguments: str) -> Result:
    """Run sarbench in a thread, next to the endpoints."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "200"})


async def run_and_score(oracle: FakeOpenAIServer, data: Path, out: Path, *more: str) -> tuple[Result, dict[str, Any]]:
    """Run and score; return the output of the scoring and the contents of ``score.json``."""
    run = await sarbench_command(
        "run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out)
    )
    assert run.exit_code in {0, 1}, run.output
    result = await sarbench_command("score", str(out), *more)
    assert result.exit_code == 0, result.output
    return result, json.loads((out / "score.json").read_text())
