"""Execution of a run: resuming, retries, and failures."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_command import TEST_TEXTS, read_errors, run_arguments, run_command

from sarbench.run.answers import read_answers
from support.sarlang_fixture import BOXED, DARWIN, GENERAL, NICE, SARDET, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, error, first, picture, serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between retries."""
    monkeypatch.setattr("sarbench.run.endpoint.INITIAL_BACKOFF_S", 0.001)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data")


async def test_a_killed_run_resumes_without_loss_or_repetition(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A killed run keeps every saved answer, and the next run requests only the others."""
    oracle.pause_s = 0.05
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from sarbench.cli import app; app()"]
    process = await asyncio.create_subprocess_exec(
        *command, *run_arguments(oracle, data, out, "--concurrency", "2"), stdout=subprocess.DEVNULL
    )
    while not (out / "answers.jsonl").exists() or (out / "answers.jsonl").read_bytes().count(b"\n") < 5:
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    saved = read_answers(out)
    assert 5 <= len(saved) < TEST_TEXTS
    before = len(oracle.bodies)
    result = await run_command(oracle, data, out)
    assert result.exit_code == 0
    assert len(oracle.bodies) - before == TEST_TEXTS - len(saved)
    assert read_answers(out)[: len(saved)] == saved
    assert len(read_answers(out)) == TEST_TEXTS


async def test_retryable_failures_are_logged_and_retried(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Three responses with status 500 are three logged attempts, and no answer is lost."""
    oracle.misbehave = first(3, lambda: error(500, "out of memory"))
    result = await run_command(oracle, data, tmp_path / "run", "--concurrency", "1")
    assert result.exit_code == 0
    assert len(read_answers(tmp_path / "run")) == TEST_TEXTS
    recorded = read_errors(tmp_path / "run")
    assert [(line["attempt"], line["status"], line["error"]) for line in recorded] == [
        (attempt, 500, "out of memory") for attempt in (1, 2, 3)
    ]


async def test_failed_texts_have_no_answer_and_run_again(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Texts of a rejected image are logged as failures, and the next run requests them again."""
    corrupt = (data / "SARimages" / DARWIN).read_bytes()
    oracle.misbehave = lambda body: error(400, "the image is damaged") if picture(body) == corrupt else None
    result = await run_command(oracle, data, tmp_path / "run")
    failed = sum(row[0] == DARWIN for row in (*BOXED, *GENERAL)) + 2
    assert result.exit_code == 1
    assert f"{TEST_TEXTS - failed} new answers, {failed} failed" in result.output
    assert {line["status"] for line in read_errors(tmp_path / "run")} == {400}
    assert len(read_errors(tmp_path / "run")) == failed
    assert DARWIN not in {answer.image for answer in read_answers(tmp_path / "run")}
    oracle.misbehave = lambda _: None
    assert (await run_command(oracle, data, tmp_path / "run")).exit_code == 0
    assert len(read_answers(tmp_path / "run")) == TEST_TEXTS


async def test_an_endpoint_that_goes_away_stops_the_run(data: Path, tmp_path: Path) -> None:
    """Without responses, the run stops after 20 consecutive failures; the same command completes it later."""
    many = [(SARDET, f"How many ships are in row {number}?", "1") for number in range(80)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", many)
    out, oracle = tmp_path / "run", FakeOpenAIServer(pause_s=0.01)
    async with serving(oracle):
        task = asyncio.create_task(run_command(oracle, data, out, "--concurrency", "2", "--attempts", "2"))
        while len(oracle.bodies) < 10:
            await asyncio.sleep(0.002)
    result = await task
    assert result.exit_code == 1
    assert "20 consecutive texts failed" in result.output
    assert "run the same command to resume" in result.output
    saved = read_answers(out)
    assert saved
    oracle.bodies.clear()
    async with serving(oracle):
        assert (await run_command(oracle, data, out)).exit_code == 0
    assert len(oracle.bodies) == 80 + TEST_TEXTS - len(BOXED) - len(saved)


async def test_an_unknown_model_stops_the_run_early(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """An endpoint that rejects everything gets at most 60 of 300 texts."""
    many = [(SARDET, f"How many ships are in row {number}?", "1") for number in range(300)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", many)
    oracle.misbehave = lambda _: error(404, "The model `m` does not exist.")
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 1
    assert "The model `m` does not exist." in result.output
    assert len(oracle.bodies) < 60


async def test_failing_texts_run_last(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Texts that failed before run last, so the run gets past an image that crashes the endpoint."""
    poison = [(NICE, f"How many ships are in row {number}?", "1") for number in range(25)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [*poison, *(row[:3] for row in BOXED)])
    crashing = (data / "SARimages" / NICE).read_bytes()
    oracle.misbehave = lambda body: error(500, "crashed") if picture(body) == crashing else None
    more = ("--attempts", "1", "--concurrency", "1", "--application", "instance_counting")
    assert (await run_command(oracle, data, tmp_path / "run", *more)).exit_code == 1
    assert not read_answers(tmp_path / "run")
    assert (await run_command(oracle, data, tmp_path / "run", *more)).exit_code == 1
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {SARDET}
    assert len(read_answers(tmp_path / "run")) == 2


async def test_concurrency_is_used_and_not_exceeded(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The number of concurrent requests equals --concurrency."""
    oracle.pause_s = 0.02
    await run_command(oracle, data, tmp_path / "run", "--concurrency", "5")
    assert oracle.max_running == 5
