"""The untrained checkpoint: complete, small, and fixed by its seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Idefics3ForConditionalGeneration
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.nano.architecture import IMAGE_SIDE, IMAGE_TOKENS
from sarbench.nano.checkpoint import CARD, TRAINED, write_untrained
from sarbench.nano.tokenizer import IMAGE, SPECIALS

MOST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One untrained checkpoint for all."""
    out = tmp_path_factory.mktemp("nano")
    write_untrained(out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_seed_fixes_every_byte(checkpoint: Path, tmp_path: Path) -> None:
    """Two checkpoints of one seed are the same files; of another seed, the same but for the weights."""
    write_untrained(tmp_path / "again")
    write_untrained(tmp_path / "other", seed=1)
    first, again, other = map(contents, (checkpoint, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_the_weights_are_small(checkpoint: Path) -> None:
    """The model takes at most 25 MB in bf16."""
    assert (checkpoint / "model.safetensors").stat().st_size <= MOST_BYTES


def test_it_answers_a_question_about_a_picture(checkpoint: Path) -> None:
    """Transformers loads the directory and generates readable noise about a picture of any size."""
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = Idefics3ForConditionalGeneration.from_pretrained(checkpoint)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many ships?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(text=text, images=[Image.new("L", (300, 200), 90)], return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (IMAGE_SIDE, IMAGE_SIDE)
    assert int((inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids(IMAGE)).sum()) == IMAGE_TOKENS
    said = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert said.min() >= len(SPECIALS)
    assert processor.tokenizer.decode(said)


def test_noise_names_no_spare_token(checkpoint: Path) -> None:
    """Rows of the head without text have no weight, so that an untrained answer is text."""
    head = Idefics3ForConditionalGeneration.from_pretrained(checkpoint).lm_head.weight
    assert torch.count_nonzero(head[: len(SPECIALS)]) == 0


def test_the_command_writes_it(tmp_path: Path, checkpoint: Path) -> None:
    """``sarbench nano --untrained --out DIR`` writes the same directory, making folders on the way."""
    result = CliRunner().invoke(app, ["nano", "--untrained", "--out", str(tmp_path / "a" / "b")])
    assert result.exit_code == 0
    assert contents(tmp_path / "a" / "b") == contents(checkpoint)


def test_without_a_word_it_is_the_trained_one(tmp_path: Path, checkpoint: Path) -> None:
    """``sarbench nano`` writes the shipped weights and their model card, and else what an untrained one has."""
    assert CliRunner().invoke(app, ["nano", "--out", str(tmp_path)]).exit_code == 0
    written, untrained = contents(tmp_path), contents(checkpoint)
    assert written.pop("README.md") == CARD.read_bytes()
    assert written["model.safetensors"] == TRAINED.read_bytes()
    assert {name for name in written if written[name] != untrained[name]} == {"model.safetensors"}
