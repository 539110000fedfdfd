"""The retrieval baseline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from score_command import run_and_score, true_answers

from support.sarlang_fixture import write_released
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


async def test_the_nearest_image_gives_its_caption(oracle: FakeOpenAIServer, data: Path, tmp_path: Path) -> None:
    """The nearest train image is the image itself, so its captions equal the truth."""
    _, score = await run_and_score(oracle, data, tmp_path / "run")
    assert score["baselines"]["retrieval"]["concise"]["rouge_l"]["mean"] == pytest.approx(1.0)
    assert score["baselines"]["retrieval"]["complex"]["rouge_l"]["mean"] == pytest.approx(1.0)
