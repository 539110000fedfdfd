"""The packed forward pass, compared with transformers one question at a time."""

from __future__ import annotations

import pytest
import torch
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.tokenizer import build_tokenizer
from sarbench.simulate.qa import QA
from sarbench.train.forward import Batch, PackedForward
from sarbench.train.init_weights import initial_model
from sarbench.train.losses import ObjectMapHead, compute_losses
from sarbench.train.packing import IGNORE_INDEX, Packer
from sarbench.train.shards import ChipLabels
from sarlens.prompts.applications import Application

QUESTIONS = tuple(
    QA(application, "topic", question, answer)
    for application, question, answer in (
        (Application.INSTANCE_COUNTING, "How many ships are there in the image?", "7"),
        (Application.OBJECT_IDENTIFICATION, "Is there a car in the image?", "No"),
        (Application.REGION_REFERRING, "What is the object present in the area [3.0, 5.0, 60.0, 41.0]?", "ship"),
    )
)
KNOWN = ChipLabels(QUESTIONS, ("Seven ships are visible on the open sea.", "Much more."), ((5, 3, 5, 60, 41),))


@pytest.fixture(scope="module")
def model() -> Idefics3ForConditionalGeneration:
    """A model with random weights far from the initial ones."""
    model = initial_model(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.03)
    return model.requires_grad_(False)


def packed_batch(images: int = 2, rows: int = 2) -> Batch:
    """Return images of noise with all conversations packed."""
    noise = torch.randint(0, 256, (images, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return Packer(rows).pack([(image.numpy(), KNOWN) for image in noise], None).batch


def single_conversation(
    batch: Batch, image: int, row: int, segment: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, targets, and weights of one conversation."""
    in_segment = batch.segment_ids[image, row] == segment
    return (
        batch.tokens[image, row][in_segment],
        batch.targets[image, row][in_segment],
        batch.weights[image, row][in_segment],
    )


def reference_logits(
    model: Idefics3ForConditionalGeneration, batch: Batch, image: int, tokens: torch.Tensor
) -> torch.Tensor:
    """Return transformers' logits for one conversation, shape (token, vocabulary)."""
    pixels = (batch.images[image].float() / 127.5 - 1).expand(1, 1, 3, -1, -1)
    scores = model(input_ids=torch.cat([batch.prefix, tokens])[None], pixel_values=pixels).logits
    return scores[0, len(batch.prefix) :].detach()


def test_packed_logits_equal_those_of_transformers(model: Idefics3ForConditionalGeneration) -> None:
    """Each packed conversation has the logits that transformers computes for it alone."""
    batch, forward = packed_batch(), PackedForward(model, torch.float32)
    scores = forward.logits(forward.decode(forward.project_to_tokens(forward.encode_images(batch.images)), batch))
    conversations = 0
    for image, row in ((p, r) for p in range(2) for r in range(2)):
        for segment in range(1, int(batch.segment_ids[image, row].max()) + 1):
            tokens, _, _ = single_conversation(batch, image, row, segment)
            expected = reference_logits(model, batch, image, tokens)
            torch.testing.assert_close(
                scores[image, row][batch.segment_ids[image, row] == segment], expected, atol=2e-4, rtol=1e-4
            )
            conversations += 1
    assert conversations == 2 * (len(QUESTIONS) + 2)


def test_packed_loss_is_the_mean_of_single_losses(model: Idefics3ForConditionalGeneration) -> None:
    """The loss of a packed batch is the weighted mean over its conversations."""
    batch = packed_batch(1)
    total = weight = 0.0
    for row in range(2):
        for segment in range(1, int(batch.segment_ids[0, row].max()) + 1):
            tokens, targets, weights = single_conversation(batch, 0, row, segment)
            learnt = targets != IGNORE_INDEX
            scores = reference_logits(model, batch, 0, tokens)[learnt]
            token_losses = torch.nn.functional.cross_entropy(scores, targets[learnt], reduction="none")
            total, weight = total + float((token_losses * weights[learnt]).sum()), weight + float(weights[learnt].sum())
    loss = compute_losses(PackedForward(model, torch.float32), ObjectMapHead(256), batch).answers
    assert float(loss) == pytest.approx(total / weight, rel=1e-4)


def test_targets_run_from_the_assistant_token_to_the_end_token(model: Idefics3ForConditionalGeneration) -> None:
    """The first target follows the assistant token, and the last is the end token."""
    batch, tokenizer = packed_batch(1), build_tokenizer()
    tokens, targets, _ = single_conversation(batch, 0, 0, 1)
    learnt = targets[targets != IGNORE_INDEX]
    assert int(learnt[-1]) == tokenizer.eos_token_id
    first = int((targets != IGNORE_INDEX).nonzero()[0])
    assert int(tokens[first]) == tokenizer.convert_tokens_to_ids("<|assistant|>")
    assert tokenizer.decode(learnt[:-1]) == KNOWN.captions[0]


def test_half_precision_stays_close(model: Idefics3ForConditionalGeneration) -> None:
    """Image tokens in bf16 have a correlation above 0.99 with those in float32."""
    images = packed_batch(1).images
    whole, half = (PackedForward(model, dtype) for dtype in (torch.float32, torch.bfloat16))
    a, b = (f.project_to_tokens(f.encode_images(images)).float().flatten() for f in (whole, half))
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.99
