"""What training lowers and what it watches: the answers' loss, a loss on where objects are, and exact answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from sarbench.train.forward import Batch, Forward
from sarbench.train.packing import UNLEARNT, Packed
from sarlens.prompts.applications import CATEGORIES, Application


class Finder(nn.Linear):
    """Reads from each patch of the encoder what lies there; helps it to learn and is left out of the model."""

    def __init__(self, features: int) -> None:
        super().__init__(features, 2 * len(CATEGORIES))

    def loss(self, patches: Tensor, maps: Tensor) -> Tensor:
        """Cross-entropy of ``maps``, shape (picture, channel, row, col), summed over channels."""
        found = nnf.linear(patches.float(), self.weight, self.bias).transpose(1, 2)
        return nnf.binary_cross_entropy_with_logits(found, maps.flatten(2)) * maps.shape[1]


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean loss of an answer's token, by weight, and mean loss of a patch."""

    answers: Tensor
    objects: Tensor


def losses(forward: Forward, finder: Finder, batch: Batch) -> Losses:
    """Both losses of one batch, with gradients."""
    patches = forward.patches(batch.pictures)
    hidden = forward.hidden(forward.picture_tokens(patches), batch)
    learnt = batch.targets != UNLEARNT
    each = nnf.cross_entropy(forward.logits(hidden[learnt]), batch.targets[learnt], reduction="none")
    weights = batch.weights[learnt]
    return Losses((each * weights).sum() / weights.sum(), finder.loss(patches, batch.maps))


@dataclass(slots=True)
class Tally:
    """Answers given and right, by application; an answer is right if greedy decoding would give exactly it."""

    asked: Counter[Application] = field(default_factory=Counter)
    right: Counter[Application] = field(default_factory=Counter)

    @torch.no_grad()
    def add(self, forward: Forward, packed: Packed) -> None:
        """Answer a batch and count."""
        batch = packed.batch
        hidden = forward.hidden(forward.picture_tokens(forward.patches(batch.pictures)), batch)
        learnt = batch.targets != UNLEARNT
        wrong = torch.zeros_like(learnt)
        wrong[learnt] = forward.logits(hidden[learnt]).argmax(-1) != batch.targets[learnt]
        missed = {(p, r, int(batch.turns[p, r, t])) for p, r, t in wrong.nonzero().tolist()}
        for picture, row, turn, application in packed.places:
            self.asked[application] += 1
            self.right[application] += (picture, row, turn) not in missed

    def accuracy(self) -> dict[str, float]:
        """Share of right answers by application, and ``overall`` over all questions, captions left out."""
        shares = {application.value: self.right[application] / self.asked[application] for application in self.asked}
        questions = [application for application in self.asked if application is not Application.IMAGE_DESCRIPTION]
        asked = sum(self.asked[application] for application in questions)
        return shares | {"overall": sum(self.right[application] for application in questions) / max(asked, 1)}
