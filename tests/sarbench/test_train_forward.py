"""The packed forward pass against transformers, one question at a time."""

from __future__ import annotations

import pytest
import torch
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.tokenizer import build_tokenizer
from sarbench.simulate.qa import QA
from sarbench.train.beginning import beginning
from sarbench.train.chips import Known
from sarbench.train.forward import Batch, Forward
from sarbench.train.objective import Finder, losses
from sarbench.train.packing import UNLEARNT, Packer
from sarlens.prompts.applications import Application

QUESTIONS = tuple(
    QA(application, "topic", question, answer)
    for application, question, answer in (
        (Application.INSTANCE_COUNTING, "How many ships are there in the image?", "7"),
        (Application.OBJECT_IDENTIFICATION, "Is there a car in the image?", "No"),
        (Application.REGION_REFERRING, "What is the object present in the area [3.0, 5.0, 60.0, 41.0]?", "ship"),
    )
)
KNOWN = Known(QUESTIONS, ("Seven ships are visible on the open sea.", "Much more."), ((5, 3, 5, 60, 41),))


@pytest.fixture(scope="module")
def model() -> Idefics3ForConditionalGeneration:
    """Weights far from their beginning, so that nothing is near zero by chance."""
    model = beginning(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.03)
    return model.requires_grad_(False)


def packed_batch(pictures: int = 2, rows: int = 2) -> Batch:
    """Pictures of noise, each with all the conversations."""
    noise = torch.randint(0, 256, (pictures, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return Packer(rows).pack([(picture.numpy(), KNOWN) for picture in noise], None).batch


def alone(batch: Batch, picture: int, row: int, turn: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One conversation's tokens, targets and weights."""
    where = batch.turns[picture, row] == turn
    return batch.tokens[picture, row][where], batch.targets[picture, row][where], batch.weights[picture, row][where]


def reference(
    model: Idefics3ForConditionalGeneration, batch: Batch, picture: int, tokens: torch.Tensor
) -> torch.Tensor:
    """Scores by transformers for one conversation asked alone, shape (token, vocabulary)."""
    pixels = (batch.pictures[picture].float() / 127.5 - 1).expand(1, 1, 3, -1, -1)
    scores = model(input_ids=torch.cat([batch.prefix, tokens])[None], pixel_values=pixels).logits
    return scores[0, len(batch.prefix) :].detach()


def test_each_question_is_scored_as_if_asked_alone(model: Idefics3ForConditionalGeneration) -> None:
    """Every packed conversation gets the scores that transformers gives it alone."""
    batch, forward = packed_batch(), Forward(model, torch.float32)
    scores = forward.logits(forward.hidden(forward.picture_tokens(forward.patches(batch.pictures)), batch))
    asked = 0
    for picture, row in ((p, r) for p in range(2) for r in range(2)):
        for turn in range(1, int(batch.turns[picture, row].max()) + 1):
            tokens, _, _ = alone(batch, picture, row, turn)
            expected = reference(model, batch, picture, tokens)
            torch.testing.assert_close(
                scores[picture, row][batch.turns[picture, row] == turn], expected, atol=2e-4, rtol=1e-4
            )
            asked += 1
    assert asked == 2 * (len(QUESTIONS) + 2)


def test_packed_loss_is_the_mean_of_single_losses(model: Idefics3ForConditionalGeneration) -> None:
    """The loss of a packed batch is the weighted mean over conversations asked one by one."""
    batch = packed_batch(1)
    total = weight = 0.0
    for row in range(2):
        for turn in range(1, int(batch.turns[0, row].max()) + 1):
            tokens, targets, weights = alone(batch, 0, row, turn)
            learnt = targets != UNLEARNT
            scores = reference(model, batch, 0, tokens)[learnt]
            each = torch.nn.functional.cross_entropy(scores, targets[learnt], reduction="none")
            total, weight = total + float((each * weights[learnt]).sum()), weight + float(weights[learnt].sum())
    found = losses(Forward(model, torch.float32), Finder(256), batch).answers
    assert float(found) == pytest.approx(total / weight, rel=1e-4)


def test_what_follows_an_answer_is_what_generation_stops_at(model: Idefics3ForConditionalGeneration) -> None:
    """The last target of a conversation is the end token, and the first comes after the assistant's mark."""
    batch, tokenizer = packed_batch(1), build_tokenizer()
    tokens, targets, _ = alone(batch, 0, 0, 1)
    learnt = targets[targets != UNLEARNT]
    assert int(learnt[-1]) == tokenizer.eos_token_id
    first = int((targets != UNLEARNT).nonzero()[0])
    assert int(tokens[first]) == tokenizer.convert_tokens_to_ids("<|assistant|>")
    assert tokenizer.decode(learnt[:-1]) == KNOWN.captions[0]


def test_half_precision_stays_close(model: Idefics3ForConditionalGeneration) -> None:
    """In bf16, as it trains and is served, the picture's tokens keep a correlation of 0.99 with float32."""
    pictures = packed_batch(1).pictures
    whole, half = (Forward(model, dtype) for dtype in (torch.float32, torch.bfloat16))
    a, b = (f.picture_tokens(f.patches(pictures)).float().flatten() for f in (whole, half))
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.99
