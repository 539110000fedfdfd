"""The majority baseline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, true_answers

from sarbench.dataset.sarlang import open_dataset
from sarbench.score.majority import MajorityBaseline, fit_on_train_split
from support.sarlang_fixture import SARDET, write_questions, write_released
from support.workers.fake_openai_server import FakeOpenAIServer, serving


@pytest.fixture
async def oracle() -> AsyncIterator[FakeOpenAIServer]:
    """An endpoint with true answers."""
    async with serving(FakeOpenAIServer(true_answers())) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


async def test_the_majority_is_fitted_on_the_train_split(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The baseline gives each wording's most frequent answer in the train split."""
    frequent = [(SARDET, "How many tanks are located in the image?", "4")] * 6
    other = [(SARDET, "How many harbors are located in the image?", "9")] * 9
    write_questions(data / "Text/VQA/train/SARVQA1_train.csv", [*frequent, *other])
    majority = fit_on_train_split(open_dataset(str(data)))
    assert majority is not None
    assert majority.answer("The classes are: tank. How many TANKS are located in the image?") == "4"
    assert majority.answer("How many cars are located in the image?") == "9"
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    assert "train split" in score["baselines"]["majority_from"]
    assert score["baselines"]["majority"]["instance_counting"]["mean"] == 0.5


async def test_without_a_train_split_the_majority_is_fitted_on_the_scored_texts(
    oracle: FakeOpenAIServer, data: Path, tmp_path: Path
) -> None:
    """Without a train split, the baseline is fitted on the scored texts, and the score says so."""
    for path in (data / "Text/VQA/train").iterdir():
        path.unlink()
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    assert score["baselines"]["majority_from"] == "by application, among the scored texts themselves"
    assert score["baselines"]["majority"]["object_identification"]["mean"] == 2 / 3


def test_questions_with_different_boxes_share_a_majority() -> None:
    """Questions that differ only in their box share a majority."""
    pairs = [(f"What is the object present in the area [{x}.0, 1.0, 2.0, 3.0]?", "ship") for x in range(5)]
    majority = MajorityBaseline([*pairs, ("What lies in [1, 2, 3, 4]?", "car")], by_wording=True)
    assert majority.answer("What is the object present in the area [9, 9, 9, 9]?") == "ship"
    assert majority.answer("Why?") == ""
