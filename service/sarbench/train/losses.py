"""Training losses of answers and object maps, and exact-match accuracy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sarbench.train.forward import Batch, PackedForward
from sarbench.train.packing import IGNORE_INDEX, PackedBatch
from sarlens.prompts.applications import CATEGORIES, Application


class ObjectMapHead(nn.Linear):
    """Auxiliary head that predicts object maps from the encoder's patches. It is not part of the exported model."""

    def __init__(self, features: int) -> None:
        super().__init__(features, 2 * len(CATEGORIES))

    def loss(self, patches: Tensor, object_maps: Tensor) -> Tensor:
        """Return the cross-entropy with ``object_maps``, shape (image, channel, row, column), summed over channels."""
        logits = nnf.linear(patches.float(), self.weight, self.bias).transpose(1, 2)
        return nnf.binary_cross_entropy_with_logits(logits, object_maps.flatten(2)) * object_maps.shape[1]


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Weighted mean loss per answer token, and mean loss per patch."""

    answers: Tensor
    objects: Tensor


def compute_losses(forward: PackedForward, object_head: ObjectMapHead, batch: Batch) -> BatchLosses:
    """Return both losses of a batch, with gradients."""
    patches = forward.encode_images(batch.images)
    hidden = forward.decode(forward.project_to_tokens(patches), batch)
    learned = batch.targets != IGNORE_INDEX
    token_losses = nnf.cross_entropy(forward.logits(hidden[learned]), batch.targets[learned], reduction="none")
    weights = batch.weights[learned]
    return BatchLosses((token_losses * weights).sum() / weights.sum(), object_head.loss(patches, batch.object_maps))


@dataclass(slots=True)
class ExactMatchCounter:
    """Total and correct answers by application. An answer is correct if greedy decoding gives exactly the target."""

    total: Counter[Application] = field(default_factory=Counter)
    correct: Counter[Application] = field(default_factory=Counter)

    @torch.no_grad()
    def add(self, forward: PackedForward, packed: PackedBatch) -> None:
        """Answer a batch and count the results."""
        batch = packed.batch
        hidden = forward.decode(forward.project_to_tokens(forward.encode_images(batch.images)), batch)
        learned = batch.targets != IGNORE_INDEX
        wrong = torch.zeros_like(learned)
        wrong[learned] = forward.logits(hidden[learned]).argmax(-1) != batch.targets[learned]
        wrong_segments = {(p, r, int(batch.segment_ids[p, r, t])) for p, r, t in wrong.nonzero().tolist()}
        for image, row, segment, application in packed.segments:
            self.total[application] += 1
            self.correct[application] += (image, row, segment) not in wrong_segments

    def accuracy(self) -> dict[str, float]:
        """Return accuracy by application, and ``overall`` for all questions without captions."""
        accuracies = {
            application.value: self.correct[application] / self.total[application] for application in self.total
        }
        questions = [application for application in self.total if application is not Application.IMAGE_DESCRIPTION]
        question_total = sum(self.total[application] for application in questions)
        return accuracies | {
            "overall": sum(self.correct[application] for application in questions) / max(question_total, 1)
        }
