"""The ``sarbench score`` command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, sarbench_command, true_answers

from support.sarlang_fixture import write_released
from support.workers.fake_openai_server import FakeOpenAIServer, error, first, prompt, serving


@pytest.fixture
async def oracle() -> AsyncIterator[FakeOpenAIServer]:
    """An endpoint with true answers."""
    async with serving(FakeOpenAIServer(true_answers())) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


async def test_correct_answers_score_100_percent(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Correct answers have accuracy 1 by both rules in every application."""
    result, score = await run_and_score(oracle, data, tmp_path / "run")
    assert {rate["mean"] for rate in (*score["strict"].values(), *score["paper"]["accuracy"].values())} == {1.0}
    assert score["strict"]["overall"]["n"] == 16
    assert list(score["strict"]) == [
        "overall",
        "object_identification",
        "object_classification",
        "instance_counting",
        "region_referring",
        "object_positioning",
        "others",
    ]
    assert "count as wrong" not in result.output
    assert list(score["captions"]) == ["complex", "concise"]
    assert score["captions"]["concise"]["n"] == 2


async def test_unanswered_texts_are_excluded(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Texts without an answer are excluded from the scores, and their number is printed."""
    oracle.misbehave = lambda body: error(400, "damaged") if "harbors are located" in prompt(body) else None
    result, score = await run_and_score(oracle, data, tmp_path / "run")
    assert (score["total"], score["answered"], score["strict"]["instance_counting"]["n"]) == (20, 19, 1)
    assert "1 of 20 texts have no answer and are excluded from all scores" in result.output


async def test_a_run_is_scored_without_its_data_set(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Scoring works after the data set has moved; only the baselines need it."""
    await run_and_score(oracle, data, tmp_path / "run")
    await asyncio.to_thread(data.rename, tmp_path / "moved")
    assert (await sarbench_command("score", str(tmp_path / "run"))).exit_code == 0
    result = await sarbench_command("score", str(tmp_path / "run"), "--train", str(data))
    assert result.exit_code == 1
    result = await sarbench_command("score", str(tmp_path / "run"), "--train", str(tmp_path / "moved"))
    assert "from the train split" in result.output


@pytest.mark.parametrize("held", [None, "{", '{"plan": {}}'])
async def test_a_directory_without_a_run_is_rejected(held: str | None, tmp_path: Path) -> None:
    """A directory without a readable run gives one sentence and exit code 1."""
    if held is not None:
        (tmp_path / "run.json").write_text(held)
    result = await sarbench_command("score", str(tmp_path))
    assert result.exit_code == 1
    assert "has no run" in result.output


async def test_a_run_without_answers_is_rejected(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A run without answers gives one sentence and exit code 1."""
    oracle.misbehave = first(1000, lambda: error(400, "no"))
    out = tmp_path / "run"
    await sarbench_command("run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out))
    result = await sarbench_command("score", str(out))
    assert result.exit_code == 1
    assert "has no answers yet" in result.output
