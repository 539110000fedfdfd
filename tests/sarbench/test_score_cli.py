"""The ``sarbench score`` command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from math import exp
from pathlib import Path

import pytest
from aiohttp import web
from score_command import run_and_score, sarbench_command, true_answers

from sarbench.score.scorecard import load_scorecard
from sarlens.prompts.applications import CAPTION_PROMPT
from support.sarlang_fixture import COMPLEX, CONCISE, NICE, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, completion, error, first, picture, prompt, serving


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


async def test_texts_without_an_answer_count_as_wrong(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Of 16 questions, 12 are answered and right: the accuracy is 75 %, and each of the four causes is counted."""
    replies: dict[str, Callable[[], web.Response]] = {
        "harbors are": lambda: error(400, "damaged"),
        "tanks are": lambda: completion(None, refusal="I can't help with that."),
        "most harbors": lambda: completion("bottom", finish_reason="length"),
        "most bridges": lambda: completion(""),
    }
    oracle.misbehave = lambda body: next((reply() for part, reply in replies.items() if part in prompt(body)), None)
    result, score = await run_and_score(oracle, data, tmp_path / "run")
    for rule in (score["strict"], score["lenient"], score["paper"]["accuracy"]):
        assert (rule["overall"]["n"], rule["overall"]["mean"]) == (16, 0.75)
        assert (rule["instance_counting"]["n"], rule["instance_counting"]["mean"]) == (2, 0.0)
    causes = {"answered": 12, "failed": 1, "refused": 1, "cut off": 1, "empty": 1}
    assert score["coverage"]["overall"] == {"texts": 16, "outcomes": causes}
    assert score["coverage"]["object_positioning"]["outcomes"] == {"cut off": 1, "empty": 1, "answered": 1}
    assert score["all_texts"]["texts"] == 20
    told = "4 of 20 texts have no answer and count as wrong: 1 refused, 1 cut off, 1 empty, 1 failed"
    assert told in result.output
    assert "75.0 %" in result.output


async def test_every_rule_reads_the_final_answer(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Reasoning counts for no rule, markup not for the strict one, and a sentence is right by the lenient one only."""
    harbors, tanks, yes = "<think>2, no: 3.</think>3", "\\boxed{four}", "There are surrounding trees."
    oracle.answer = true_answers(**{"2": harbors, "4": tanks, "Yes.": yes})
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    assert score["strict"]["overall"]["mean"] == 14 / 16
    assert score["lenient"]["overall"]["mean"] == 15 / 16
    assert score["lenient"]["object_identification"]["mean"] == 1.0
    assert score["strict"]["instance_counting"]["mean"] == score["lenient"]["instance_counting"]["mean"] == 0.5
    assert score["paper"]["accuracy"]["instance_counting"]["mean"] == 0.0


async def test_groups_have_scores_and_an_audit(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """Questions are scored by source, city, resolution, and type, and each assignment is counted by its rule."""
    oracle.answer = true_answers(Rectangular="round")
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    breakdown, assignments = score["breakdown"], score["assignments"]
    counts = {name: group["strict"]["n"] for name, group in breakdown["source"].items()}
    assert counts == {"SARDet-100K": 6, "DFC2023": 6, "OpenEarthMap-SAR": 4}
    assert breakdown["city"]["Darwin"]["strict"]["mean"] == pytest.approx(5 / 6)
    assert breakdown["question type"]["Others: Shape"]["strict"]["mean"] == 0.0
    assert list(breakdown["resolution"]) == ["0.1-25 m", "0.5-2 m", "0.15-0.5 m"]
    assert assignments["application"]["instance_counting"] == {"number of": 2}
    assert assignments["source"]["SARDet-100K"] == {"digits only": 6}
    assert sum(sum(rules.values()) for rules in assignments["application"].values()) == 16


async def test_tokenized_captions_ignore_case_and_punctuation(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """Captions in lower case without a period are perfect after the tokenizer, and not on the strings as they are."""
    answers = true_answers()
    lower = {text: text.lower().rstrip(".") for _, text in (*CONCISE, *COMPLEX)}
    pictures = {(data / "SARimages" / name).read_bytes(): text for name, text in CONCISE}
    oracle.misbehave = lambda body: (
        completion(lower[pictures[picture(body)]])
        if prompt(body) == CAPTION_PROMPT
        else completion(answers(prompt(body)))
    )
    result, score = await run_and_score(oracle, data, tmp_path / "run")
    concise = score["captions"]["concise"]
    assert concise["rouge_l"]["mean"] < 0.95
    assert concise["tokenized"]["rouge_l"]["mean"] == pytest.approx(1)
    assert concise["tokenized"]["bleu"][0] == pytest.approx(1)
    assert concise["tokenized"]["cider"]["mean"] == pytest.approx(10)
    assert "Compare the rows PTB with other papers" in result.output


async def test_texts_that_were_not_sent_count_as_wrong(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """A run that ended after half of its answers has no score above the share that it answered."""
    await run_and_score(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"SARVQA1" not in line))
    result = await sarbench_command("score", str(tmp_path / "run"))
    assert "6 of 20 texts have no answer and count as wrong: 6 not sent" in result.output
    assert load_scorecard(tmp_path / "run").strict["overall"].mean == 10 / 16


async def test_a_caption_without_a_text_is_an_empty_caption(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """A refused caption lowers CIDEr and ROUGE-L of its subset to the other's share, and BLEU by its missing words."""
    refused = (data / "SARimages" / NICE).read_bytes()
    oracle.misbehave = lambda body: completion(None, refusal="No.") if picture(body) == refused else None
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    concise = score["captions"]["concise"]
    assert concise["n"] == 2
    assert concise["rouge_l"]["mean"] == 0.5
    # The brevity penalty of 11 predicted words for 20 words of references.
    assert concise["bleu"][0] == pytest.approx(exp(1 - 20 / 11))
    assert score["coverage"]["concise"]["outcomes"] == {"answered": 1, "refused": 1}


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
