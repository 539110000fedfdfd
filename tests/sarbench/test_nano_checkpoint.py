"""Checkpoints of sarlens-nano."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Idefics3ForConditionalGeneration
from typer.testing import CliRunner

from sarbench.cli import app
from sarbench.nano.checkpoint import MODEL_CARD, TRAINED_WEIGHTS, write_untrained
from sarbench.nano.dimensions import IMAGE_SIDE, IMAGE_TOKENS
from sarbench.nano.tokenizer import IMAGE, SPECIAL_TOKENS

MOST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint."""
    out = tmp_path_factory.mktemp("nano")
    write_untrained(out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_equal_seeds_give_identical_files(checkpoint: Path, tmp_path: Path) -> None:
    """Equal seeds give identical files, and different seeds differ only in the weights."""
    write_untrained(tmp_path / "again")
    write_untrained(tmp_path / "other", seed=1)
    first, again, other = map(contents, (checkpoint, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_the_weights_take_at_most_25_mb(checkpoint: Path) -> None:
    """The weights take at most 25 MB in bf16."""
    assert (checkpoint / "model.safetensors").stat().st_size <= MOST_BYTES


def test_transformers_generates_text_about_an_image(checkpoint: Path) -> None:
    """transformers loads the checkpoint and generates text about an image of any size."""
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = Idefics3ForConditionalGeneration.from_pretrained(checkpoint)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many ships?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(text=text, images=[Image.new("L", (300, 200), 90)], return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (IMAGE_SIDE, IMAGE_SIDE)
    assert int((inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids(IMAGE)).sum()) == IMAGE_TOKENS
    generated = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert generated.min() >= len(SPECIAL_TOKENS)
    assert processor.tokenizer.decode(generated)


def test_untrained_logits_of_tokens_without_text_are_zero(checkpoint: Path) -> None:
    """Head weights of special tokens are zero, so an untrained answer is text."""
    head = Idefics3ForConditionalGeneration.from_pretrained(checkpoint).lm_head.weight
    assert torch.count_nonzero(head[: len(SPECIAL_TOKENS)]) == 0


def test_the_command_writes_an_untrained_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    """``sarbench nano --untrained --out DIR`` writes the same files and creates parent directories."""
    result = CliRunner().invoke(app, ["nano", "--untrained", "--out", str(tmp_path / "a" / "b")])
    assert result.exit_code == 0
    assert contents(tmp_path / "a" / "b") == contents(checkpoint)


def test_the_command_writes_the_trained_checkpoint_by_default(tmp_path: Path, checkpoint: Path) -> None:
    """``sarbench nano`` writes the bundled weights and the model card; the other files equal the untrained ones."""
    assert CliRunner().invoke(app, ["nano", "--out", str(tmp_path)]).exit_code == 0
    written, untrained = contents(tmp_path), contents(checkpoint)
    assert written.pop("README.md") == MODEL_CARD.read_bytes()
    assert written["model.safetensors"] == TRAINED_WEIGHTS.read_bytes()
    assert {name for name in written if written[name] != untrained[name]} == {"model.safetensors"}
