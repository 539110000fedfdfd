"""Training conversations for fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune_data import TRAINED_COUNT, write_counting_data

from sarbench.finetune.config import FinetuneConfig
from sarbench.finetune.training_data import build_training_dataset
from sarbench.nano.architecture import IMAGE_SIDE
from sarlens.prompts.applications import QUESTION_PROMPT, Application


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated images with constant counts."""
    return write_counting_data(tmp_path_factory.mktemp("finetune") / "data")


def test_training_prompts_equal_those_of_a_run(data: Path) -> None:
    """A sample has an image of the requested size, the benchmark's prompt, and the answer."""
    dataset = build_training_dataset(
        FinetuneConfig("nano", str(data), (Application.INSTANCE_COUNTING,), image_size=IMAGE_SIDE)
    )
    assert len(dataset) > 4
    sample = dataset[0]
    assert sample["images"][0].size == (IMAGE_SIDE, IMAGE_SIDE)
    before, after = QUESTION_PROMPT.split("{question}")
    prompt = sample["prompt"][0]["content"]
    assert prompt.startswith(before)
    assert prompt.endswith(after)
    assert "How many" in prompt
    assert sample["completion"] == [{"role": "assistant", "content": TRAINED_COUNT}]
