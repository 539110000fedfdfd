"""The LLM judge of the paper's rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, sarbench_command, true_answers

from support.sarlang_fixture import write_released
from support.workers.fake_openai_server import FakeOpenAIServer, prompt, serving


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
        assert score["paper"]["judge"] == "j"
        assert score["paper"]["accuracy"]["overall"]["mean"] == 14 / 16
        assert (await sarbench_command("score", str(tmp_path / "run"), *more)).exit_code == 0
        assert len(judge.bodies) == 2


@pytest.mark.parametrize("reply", ["yes", "1.", "2", ""])
async def test_other_replies_than_0_and_1_give_no_verdict(
    reply: str, oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A reply other than 0 or 1 counts as unjudged, and the case is sent again next time."""
    oracle.answer = true_answers(Rectangular="oblong")
    async with serving(FakeOpenAIServer(lambda _: reply)) as judge:
        _, score = await run_and_score(oracle, data, tmp_path / "run", "--judge-base-url", judge.url)
        assert score["paper"]["unjudged"]["overall"] == 1
        judge.answer = lambda _: " 1\n"
        _, score = await run_and_score(oracle, data, tmp_path / "run", "--judge-base-url", judge.url)
        assert score["paper"]["unjudged"]["overall"] == 0


async def test_the_judge_prompt_can_be_replaced(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A custom prompt is used, and braces in an answer are kept."""
    oracle.answer = true_answers(Rectangular="{truth} {x}")
    words = tmp_path / "judge.txt"
    words.write_text("{answer}|{truth}|{question}")
    async with serving(FakeOpenAIServer(lambda _: "0")) as judge:
        await run_and_score(oracle, data, tmp_path / "run", "--judge-base-url", judge.url, "--judge-prompt", str(words))
        assert [prompt(body) for body in judge.bodies] == ["{truth} {x}|rectangular|what is the shape of the pools?"]
