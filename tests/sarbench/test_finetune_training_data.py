"""Training conversations for fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune_data import TRAINED_COUNT, write_counting_data
from PIL import Image

from sarbench.errors import DatasetError
from sarbench.finetune.config import FinetuneConfig
from sarbench.finetune.training_data import build_training_dataset
from sarbench.nano.dimensions import IMAGE_SIDE
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


def test_boxes_of_training_texts_follow_the_picture(tmp_path: Path) -> None:
    """A chip of 512 x 256 pixels, trained at 128: boxes in questions and answers are a quarter, in the same form."""
    (tmp_path / "SARimages").mkdir()
    Image.new("L", (512, 256)).save(tmp_path / "SARimages/a.png")
    rows = [
        "Image Name,Question,Answer",
        'a.png,"What is the object present in the area [56.0, 192.0, 112.0, 122.0]?",ship',
        'a.png,"Which region has the ship?","[57, 20, 80, 40]"',
        'a.png,"What is the object present in the area [512.0, 0.0, 8.0, 8.0]?",ship',
    ]
    (tmp_path / "SARVQA1_train.csv").write_text("\n".join(rows))
    dataset = build_training_dataset(FinetuneConfig("nano", str(tmp_path), image_size=128))
    texts = [(dataset[row]["prompt"][0]["content"], dataset[row]["completion"][0]["content"]) for row in range(2)]
    assert "[14.0, 48.0, 28.0, 16.0]" in texts[0][0]
    assert texts[1][1] == "[14, 5, 20, 10]"
    with pytest.raises(DatasetError, match=r"a.png: The region \[512.0, 0.0, 8.0, 8.0\] is outside"):
        dataset[2]
