"""The LLM judge of the paper's rule."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, sarbench_command, true_answers

from sarbench.score.judge import parse_verdict
from sarbench.score.scorecard import load_scorecard
from support.sarlang_fixture import SARDET, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, error, prompt, serving


@pytest.fixture
async def oracle() -> AsyncIterator[FakeOpenAIServer]:
    """An endpoint with true answers."""
    async with serving(FakeOpenAIServer(true_answers())) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


async def test_unjudged_answers_count_as_wrong(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Without a judge, open cases count as wrong, and their number is printed."""
    oracle.answer = true_answers(Rectangular="oblong", aircraft="plane")
    result, score = await run_and_score(oracle, data, tmp_path / "run")
    assert score["paper"]["unjudged"]["overall"] == 2
    assert score["paper"]["unjudged"]["region_referring"] == 1
    assert score["paper"]["accuracy"]["overall"]["mean"] == 14 / 16
    assert score["strict"]["overall"]["mean"] == 15 / 16
    assert "2 answers need a judge but have no verdict: they count as wrong" in result.output


async def test_the_judge_gets_only_open_cases_once(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The judge gets each open case once in lower case, and its verdicts are reused."""
    oracle.answer = true_answers(Rectangular="Oblong", aircraft="Plane", Yes="No")
    async with serving(FakeOpenAIServer(lambda text: "1" if "plane" in text else "0")) as judge:
        more = ("--judge-base-url", judge.url, "--judge-model", "j")
        _, score = await run_and_score(oracle, data, tmp_path / "run", *more)
        prompts = sorted(prompt(body) for body in judge.bodies)
        assert len(prompts) == 2
        assert "Question: what is the object present in the area [56.0, 191.0, 112.0, 122.0]?" in prompts[0]
        assert "Reference answer: aircraft\nPrediction: plane" in prompts[0]
        assert judge.bodies[0]["max_tokens"] == 100
        assert score["paper"]["unjudged"]["overall"] == 0
        assert score["paper"]["judge"]["model"] == "j"
        assert score["paper"]["judge"]["sampling"] == {"max_tokens": 100}
        assert score["paper"]["accuracy"]["overall"]["mean"] == 14 / 16
        assert (await sarbench_command("score", str(tmp_path / "run"), *more)).exit_code == 0
        assert len(judge.bodies) == 2


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("1", True),
        (" 0\n", False),
        ("1.", True),
        ("**1**", True),
        ("<think>0 or 1?</think>\n1", True),
        ("Score: 1", True),
        ("Answer: 0", False),
        ('{"score": 1}', True),
        ("<think>1", None),
        ("yes", None),
        ("2", None),
        ("10", None),
        ("1 or 0", None),
        ("1 because they agree", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_number_0_or_1(reply: str, verdict: bool | None) -> None:
    """Markup and reasoning around the number don't count; any other reply gives no verdict."""
    assert parse_verdict(reply) is verdict


async def test_a_reply_without_a_verdict_is_an_error(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The case is sent three times, counts as unjudged with exit code 1, and is sent again next time."""
    oracle.answer = true_answers(Rectangular="oblong")
    async with serving(FakeOpenAIServer(lambda _: "perhaps")) as judge:
        more = ("--judge-base-url", judge.url)
        await run_and_score(oracle, data, tmp_path / "run")
        result = await sarbench_command("score", str(tmp_path / "run"), *more)
        assert result.exit_code == 1
        assert "1 cases: the reply is neither 0 nor 1" in result.output
        assert len(judge.bodies) == 3
        score = json.loads((tmp_path / "run/score.json").read_text())
        assert score["paper"]["unjudged"]["overall"] == 1
        assert score["paper"]["judge_errors"] == {"the reply is neither 0 nor 1": 1}
        errors = [json.loads(line) for line in (tmp_path / "run/judge_errors.jsonl").read_text().splitlines()]
        assert [error["reply"] for error in errors] == ["perhaps"] * 3
        judge.answer = lambda _: "1"
        assert (await sarbench_command("score", str(tmp_path / "run"), *more)).exit_code == 0


async def test_a_dead_judge_is_given_up_and_resumed(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A judge that rejects the key is given up before it gets all 60 cases; with a key, the same command completes."""
    rows = [(SARDET, f"What is the use of field {number}?", f"truth {number}") for number in range(60)]
    write_questions(data / "Text/VQA/test/SARVQA2_test.csv", rows)
    oracle.answer = lambda _: "something"
    run, judge = tmp_path / "run", FakeOpenAIServer(lambda _: "1")
    await run_and_score(oracle, data, run)
    async with serving(judge):
        judge.misbehave = lambda _: error(401, "Incorrect API key")
        result = await sarbench_command("score", str(run), "--judge-base-url", judge.url)
        assert result.exit_code == 1
        assert "cases: 401: Incorrect API key" in result.output
        assert "failed for 10 cases in a row" in result.output
        assert len(judge.bodies) < 30
        judge.misbehave = lambda _: None
        result = await sarbench_command("score", str(run), "--judge-base-url", judge.url)
        assert result.exit_code == 0
    assert load_scorecard(run).paper.unjudged["overall"] == 0


async def test_the_cache_holds_every_input_of_a_verdict(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Another prompt, model, field of the request, or endpoint is another judge, and each is asked once."""
    oracle.answer = true_answers(Rectangular="oblong")
    run = tmp_path / "run"
    async with serving(FakeOpenAIServer(lambda _: "1")) as judge, serving(FakeOpenAIServer(lambda _: "0")) as other:
        await run_and_score(oracle, data, run)
        variants = (
            ("--judge-base-url", judge.url),
            ("--judge-base-url", judge.url, "--judge-prompt", "authors"),
            ("--judge-base-url", judge.url, "--judge-model", "k"),
            ("--judge-base-url", judge.url, "--judge-body", '{"temperature": 0}'),
            ("--judge-base-url", judge.url, "--judge-body", '{"max_tokens": null, "max_completion_tokens": 500}'),
        )
        for count, variant in enumerate((*variants, *variants), 1):
            assert (await sarbench_command("score", str(run), *variant)).exit_code == 0
            assert len(judge.bodies) == min(count, len(variants))
        assert load_scorecard(run).paper.accuracy["overall"].mean == 1.0
        await sarbench_command("score", str(run), "--judge-base-url", other.url)
        assert len(other.bodies) == 1
        assert load_scorecard(run).paper.accuracy["overall"].mean == 15 / 16
    prompts = [prompt(body) for body in judge.bodies]
    assert prompts[1].startswith("Question: what is the shape of the pools?\nGround Truth Answer: rectangular\n")
    assert "playground and ground track field, building and rooftop, pond and swimming pool" in prompts[1]
    assert judge.bodies[-1].keys() == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "neither default nor authors"), ("{truth}", "placeholder {answer}")]
)
async def test_an_unusable_prompt_is_reported(
    content: str | None, reason: str, oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A missing file, or one without a placeholder, gives one sentence."""
    await run_and_score(oracle, data, tmp_path / "run")
    path = tmp_path / "judge.txt"
    if content is not None:
        path.write_text(content)
    more = ("--judge-base-url", oracle.url, "--judge-prompt", str(path))
    result = await sarbench_command("score", str(tmp_path / "run"), *more)
    assert result.exit_code == 1
    assert reason in " ".join(result.output.split())


async def test_the_judge_prompt_can_be_replaced(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A custom prompt is used, and braces in an answer are kept."""
    oracle.answer = true_answers(Rectangular="{truth} {x}")
    words = tmp_path / "judge.txt"
    words.write_text("{answer}|{truth}|{question}")
    async with serving(FakeOpenAIServer(lambda _: "0")) as judge:
        await run_and_score(oracle, data, tmp_path / "run", "--judge-base-url", judge.url, "--judge-prompt", str(words))
        assert [prompt(body) for body in judge.bodies] == ["{truth} {x}|rectangular|what is the shape of the pools?"]
