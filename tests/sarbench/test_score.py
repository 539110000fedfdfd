"""Scoring a run: what ``sarbench score`` counts, prints and keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.dataset.library import open_library
from sarbench.score.bootstrap import mean_of
from sarbench.score.majority import Majority, majority_of_train
from sarlens.prompts.applications import CAPTION_PROMPT
from stack.oracle import Oracle, error, first, prompt, serving
from stack.released import BOXED, CONCISE, GENERAL, SARDET, write_questions, write_released

TRUTHS = {question: answer for _, question, answer, _ in (*BOXED, *GENERAL)}


def answering(**special: str) -> Callable[[str], str]:
    """Answer captions alike and questions truly, but for those whose truth is named in ``special``."""

    def answer(asked: str) -> str:
        if asked == CAPTION_PROMPT:
            return CONCISE[0][1]
        truth = next(TRUTHS[question] for question in TRUTHS if question in asked)
        return special.get(truth, truth)

    return answer


async def command(*arguments: str) -> Result:
    """Run sarbench beside the endpoints of a test."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "200"})


async def scored(oracle: Oracle, data: Path, out: Path, *more: str) -> tuple[Result, dict[str, Any]]:
    """Ask, score, and what was kept."""
    asked = await command("run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out))
    assert asked.exit_code in {0, 1}, asked.output
    result = await command("score", str(out), *more)
    assert result.exit_code == 0, result.output
    return result, json.loads((out / "score.json").read_text())


@pytest.fixture
async def oracle() -> AsyncIterator[Oracle]:
    """An endpoint that knows the answers."""
    async with serving(Oracle(answering())) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the released layout."""
    return write_released(tmp_path / "data", train=True)


async def test_a_model_that_knows_everything_scores_full(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """True answers are 100 % by both rules in every application."""
    result, kept = await scored(oracle, data, tmp_path / "run")
    assert {rate["mean"] for rate in (*kept["strict"].values(), *kept["paper"]["accuracy"].values())} == {1.0}
    assert kept["strict"]["overall"]["n"] == 16
    assert list(kept["strict"]) == [
        "overall",
        "object_identification",
        "object_classification",
        "instance_counting",
        "region_referring",
        "object_positioning",
        "others",
    ]
    assert "count as wrong" not in result.output
    assert list(kept["captions"]) == ["complex", "concise"]
    assert kept["captions"]["concise"]["n"] == 2


async def test_without_a_judge_its_cases_are_wrong_and_counted(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Answers that the paper's rule leaves to a judge are counted as wrong, aloud."""
    oracle.answer = answering(Rectangular="oblong", aircraft="plane")
    result, kept = await scored(oracle, data, tmp_path / "run")
    assert kept["paper"]["unjudged"]["overall"] == 2
    assert kept["paper"]["unjudged"]["region_referring"] == 1
    assert kept["paper"]["accuracy"]["overall"]["mean"] == 14 / 16
    assert kept["strict"]["overall"]["mean"] == 15 / 16
    assert "2 answers need the paper's judge and have no verdict: they count as wrong" in result.output


async def test_the_judge_is_asked_only_what_the_rule_leaves_open(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """It sees the lower-cased question, truth and answer of the open cases, once, and its verdicts are kept."""
    oracle.answer = answering(Rectangular="Oblong", aircraft="Plane", Yes="No")
    async with serving(Oracle(lambda asked: "1" if "plane" in asked else "0")) as judge:
        more = ("--judge-base-url", judge.url, "--judge-model", "j")
        _, kept = await scored(oracle, data, tmp_path / "run", *more)
        asked = sorted(prompt(body) for body in judge.bodies)
        assert len(asked) == 2
        assert "Question: what is the object present in the area [56.0, 191.0, 112.0, 122.0]?" in asked[0]
        assert "Reference answer: aircraft\nPrediction: plane" in asked[0]
        assert judge.bodies[0]["max_tokens"] == 100
        assert kept["paper"]["unjudged"]["overall"] == 0
        assert kept["paper"]["judge"] == "j"
        assert kept["paper"]["accuracy"]["overall"]["mean"] == 14 / 16
        assert (await command("score", str(tmp_path / "run"), *more)).exit_code == 0
        assert len(judge.bodies) == 2


@pytest.mark.parametrize("reply", ["yes", "1.", "2", ""])
async def test_a_judge_that_does_not_say_one_or_zero_gives_no_verdict(
    reply: str, oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    """What would end the authors' script is counted as unjudged, and asked again next time."""
    oracle.answer = answering(Rectangular="oblong")
    async with serving(Oracle(lambda _: reply)) as judge:
        _, kept = await scored(oracle, data, tmp_path / "run", "--judge-base-url", judge.url)
        assert kept["paper"]["unjudged"]["overall"] == 1
        judge.answer = lambda _: " 1\n"
        _, kept = await scored(oracle, data, tmp_path / "run", "--judge-base-url", judge.url)
        assert kept["paper"]["unjudged"]["overall"] == 0


async def test_a_judge_takes_other_words(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """The judge's prompt can be replaced, and braces in an answer stay what they are."""
    oracle.answer = answering(Rectangular="{truth} {x}")
    words = tmp_path / "judge.txt"
    words.write_text("{answer}|{truth}|{question}")
    async with serving(Oracle(lambda _: "0")) as judge:
        await scored(oracle, data, tmp_path / "run", "--judge-base-url", judge.url, "--judge-prompt", str(words))
        assert [prompt(body) for body in judge.bodies] == ["{truth} {x}|rectangular|what is the shape of the pools?"]


async def test_texts_without_an_answer_are_in_no_score(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A failure is neither right nor wrong: it is missing, and said to be."""
    oracle.misbehave = lambda body: error(400, "damaged") if "harbors are located" in prompt(body) else None
    result, kept = await scored(oracle, data, tmp_path / "run")
    assert (kept["total"], kept["answered"], kept["strict"]["instance_counting"]["n"]) == (20, 19, 1)
    assert "1 of 20 texts have no answer and are in no score" in result.output


async def test_the_majority_answer_comes_from_the_train_split(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Where there is a train split the baseline has learned each wording's most frequent answer there."""
    seen = [(SARDET, "How many tanks are located in the image?", "4")] * 6
    other = [(SARDET, "How many harbors are located in the image?", "9")] * 9
    write_questions(data / "Text/VQA/train/SARVQA1_train.csv", [*seen, *other])
    majority = majority_of_train(open_library(str(data)))
    assert majority is not None
    assert majority.answer("The classes are: tank. How many TANKS are located in the image?") == "4"
    assert majority.answer("How many cars are located in the image?") == "9"
    _, kept = await scored(oracle, data, tmp_path / "run")
    assert "train split" in kept["baselines"]["majority_from"]
    assert kept["baselines"]["majority"]["instance_counting"]["mean"] == 0.5


async def test_without_a_train_split_the_majority_is_of_the_scored_texts(
    oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    """The baseline then knows what no model can, and the score says so."""
    for path in (data / "Text/VQA/train").iterdir():
        path.unlink()
    _, kept = await scored(oracle, data, tmp_path / "run")
    assert kept["baselines"]["majority_from"] == "by application, among the scored texts themselves"
    assert kept["baselines"]["majority"]["object_identification"]["mean"] == 2 / 3


def test_boxes_are_one_wording() -> None:
    """Questions that differ only in their box share a majority."""
    seen = [(f"What is the object present in the area [{x}.0, 1.0, 2.0, 3.0]?", "ship") for x in range(5)]
    majority = Majority([*seen, ("What lies in [1, 2, 3, 4]?", "car")], by_wording=True)
    assert majority.answer("What is the object present in the area [9, 9, 9, 9]?") == "ship"
    assert majority.answer("Why?") == ""


async def test_captions_have_a_retrieval_baseline(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """The nearest train image is the image itself here, so its concise caption is the truth."""
    _, kept = await scored(oracle, data, tmp_path / "run")
    assert kept["baselines"]["retrieval"]["concise"]["rouge_l"]["mean"] == pytest.approx(1.0)
    assert kept["baselines"]["retrieval"]["complex"]["rouge_l"]["mean"] == pytest.approx(1.0)


async def test_a_run_whose_data_moved_is_still_scored(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Answers hold all that scoring needs; only baselines look at the data again."""
    await scored(oracle, data, tmp_path / "run")
    await asyncio.to_thread(data.rename, tmp_path / "moved")
    assert (await command("score", str(tmp_path / "run"))).exit_code == 0
    result = await command("score", str(tmp_path / "run"), "--train", str(data))
    assert result.exit_code == 2
    result = await command("score", str(tmp_path / "run"), "--train", str(tmp_path / "moved"))
    assert "from the train split" in result.output


@pytest.mark.parametrize("held", [None, "{", '{"plan": {}}'])
async def test_what_is_no_run_is_not_scored(held: str | None, tmp_path: Path) -> None:
    """A folder without a readable run ends with a sentence."""
    if held is not None:
        (tmp_path / "run.json").write_text(held)
    result = await command("score", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no run" in result.output


async def test_a_run_without_answers_is_not_scored(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Nothing answered is nothing to score."""
    oracle.misbehave = first(1000, lambda: error(400, "no"))
    out = tmp_path / "run"
    await command("run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out))
    result = await command("score", str(out))
    assert result.exit_code == 2
    assert "has no answers yet" in result.output


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), min_size=1, max_size=60))
def test_an_interval_holds_its_mean(values: list[tuple[bool, str]]) -> None:
    """The interval lies within 0 and 1 around the mean, and is the same each time."""
    right, images = [value for value, _ in values], [image for _, image in values]
    found = mean_of(right, images)
    assert found == mean_of(right, images)
    assert found.mean == pytest.approx(sum(right) / len(right))
    assert 0 <= found.low <= found.high <= 1


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    """For independent images it is the normal approximation's; for one answer said ten times per image √10 wider."""
    rng = np.random.default_rng(1)
    right = rng.random(2000) < 0.7
    apart = mean_of(right.tolist(), [str(image) for image in range(2000)])
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 2000) ** 0.5, rel=0.1)
    together = mean_of(np.repeat(right[:200], 10).tolist(), [str(image // 10) for image in range(2000)])
    assert together.high - together.low == pytest.approx((apart.high - apart.low) * 10**0.5, rel=0.2)
