"""The ``sarbench run`` command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from run_command import TEST_TEXTS, read_errors, run_command
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.run.answers import Outcome, read_answers
from sarbench.run.config import load_metadata
from sarlens.prompts.applications import CAPTION_PROMPT
from support.sarlang_fixture import BOXED, DARWIN, NICE, SARDET, write_csv, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, completion, picture, prompt


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between retries."""
    monkeypatch.setattr("sarbench.run.endpoint.INITIAL_BACKOFF_S", 0.001)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data")


async def test_every_text_is_sent_once_with_the_papers_prompt(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """Each text is sent once with the paper's prompt, the image bytes first, and temperature 0."""
    oracle.answer = str.upper
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert set(oracle.asked.values()) == {1, 2}  # both captions of an image have the same prompt
    assert len(oracle.bodies) == TEST_TEXTS
    prompts = [prompt(body) for body in oracle.bodies]
    assert prompts.count(CAPTION_PROMPT) == 4
    assert "Question: What is the shape of the pools?. Answer the question concisely." in prompts
    assert {body["temperature"] for body in oracle.bodies} == {0}
    assert {body["model"] for body in oracle.bodies} == {"m"}
    sent = {picture(body) for body in oracle.bodies}
    assert sent == {path.read_bytes() for path in (data / "SARimages").iterdir()}
    answers = read_answers(tmp_path / "run")
    assert len({answer.key for answer in answers}) == TEST_TEXTS
    assert all(answer.answer.isupper() for answer in answers)


async def test_a_finished_run_sends_no_request(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The same command sends no more requests after the run is finished."""
    await run_command(oracle, data, tmp_path / "run")
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 0
    assert len(oracle.bodies) == TEST_TEXTS


async def test_wrong_columns_stop_the_run(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A file with wrong columns stops the run before the first request."""
    write_csv(data / "Text/VQA/test/SARVQA1_test.csv", ("Picture", "Question", "Answer"), [BOXED[0][:3]])
    result = await run_command(oracle, data, tmp_path / "run", "--skip-bad-rows")
    assert result.exit_code == 1
    assert "SARVQA1_test.csv:1: no column Image Name" in result.output
    assert not oracle.bodies


async def test_a_run_against_the_gateway(url: str, data: Path, tmp_path: Path) -> None:
    """The gateway answers a run with render parameters, and rejects a damaged image with status 400."""
    (data / "SARimages" / NICE).write_bytes(b"damaged")
    command = ["run", "--base-url", f"{url}/v1", "--model", "sarlens-nano", "--sar", '{"size": 32}']
    result = await asyncio.to_thread(
        CliRunner().invoke, app, [*command, "--data", str(data), "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 1, result.output
    assert {answer.answer for answer in read_answers(tmp_path / "run")} == {"There are 3 ships."}
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {DARWIN, SARDET}
    assert {line["status"] for line in read_errors(tmp_path / "run")} == {400}


async def test_invalid_rows_stop_the_run_unless_skipped(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Invalid rows stop the run before the first request; --skip-bad-rows skips and counts them."""
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "How many ships?", ""), BOXED[0][:3]])
    result = await run_command(oracle, data, tmp_path / "run")
    assert result.exit_code == 1
    assert "SARVQA1_test.csv:2: Answer is empty" in result.output
    assert not oracle.bodies
    assert (await run_command(oracle, data, tmp_path / "run", "--skip-bad-rows")).exit_code == 0
    assert load_metadata(tmp_path / "run").bad_rows == 1


async def test_credentials_are_sent_and_not_saved(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """API keys and credentials in the URL are sent to the endpoint and written to no file."""
    await run_command(oracle, data, tmp_path / "key", "--api-key", "sk-secret")
    assert set(oracle.keys) == {"Bearer sk-secret"}
    oracle.keys.clear()
    in_address = ("--base-url", oracle.url.replace("http://", "http://user:pa55@"))
    await run_command(oracle, data, tmp_path / "address", *in_address)
    assert set(oracle.keys) == {"Basic dXNlcjpwYTU1"}
    written = [path.read_text() for run_ in ("key", "address") for path in (tmp_path / run_).iterdir()]
    assert len(written) == 8
    assert not any("sk-secret" in text or "pa55" in text for text in written)


@pytest.mark.parametrize(
    "address", ["localhost:8080/v1", "ftp://u:pa55@host/v1", "http://[::1/v1", "http://user:pa55@127.0.0.1/v1"]
)
async def test_an_invalid_base_url_is_rejected_before_the_run(
    address: str, oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A URL without http, or with credentials in addition to an API key, is rejected before the run."""
    result = await run_command(oracle, data, tmp_path / "run", "--base-url", address, "--api-key", "k")
    assert result.exit_code == 1
    assert not (tmp_path / "run").exists()
    assert "pa55" not in result.output


@pytest.mark.parametrize("option", ["--sar", "--body"])
@pytest.mark.parametrize("value", ["{", "[1]", "3"])
async def test_options_must_be_json_objects(
    option: str, value: str, oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """--sar and --body must be JSON objects; otherwise nothing is sent."""
    result = await run_command(oracle, data, tmp_path / "run", option, value)
    assert result.exit_code == 1
    assert option in result.output
    assert not oracle.bodies


async def test_answers_that_the_limit_cuts_off_are_a_warning(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """The run states how many answers the limit cut off, and stores how each answer ended."""
    oracle.misbehave = lambda body: (
        completion(None, finish_reason="length", reasoning_content="Let me think")
        if "Where is" in prompt(body)
        else completion("<think>3 and then", finish_reason="stop")
        if "most" in prompt(body)
        else None
    )
    result = await run_command(oracle, data, tmp_path / "run", "--max-tokens", "7")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert "4 of 20 answers are cut off by the limit of 7 tokens and count as wrong" in text
    answers = read_answers(tmp_path / "run")
    assert {answer.outcome for answer in answers} == {Outcome.ANSWERED, Outcome.CUT_OFF}
    cut_off = next(answer for answer in answers if "orchard" in answer.question)
    assert (cut_off.finish_reason, cut_off.reasoning, cut_off.text) == ("length", "Let me think", "")
