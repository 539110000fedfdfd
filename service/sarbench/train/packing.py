"""Packing of conversations into rows of tokens with little padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from sarbench.nano.dimensions import IMAGE_SIDE, IMAGE_TOKENS, PATCH_SIDE
from sarbench.nano.tokenizer import (
    END,
    GLOBAL_IMAGE,
    IMAGE,
    IMAGE_BOUNDARY,
    ROLE_TOKENS,
    build_tokenizer,
)
from sarbench.train.forward import Batch
from sarbench.train.paraphrases import Conversation, make_conversations
from sarbench.train.shards import ChipLabels
from sarlens.prompts.applications import CATEGORIES, Application

ROW_TOKENS = 64
"""Tokens per row. Longer conversations are dropped."""
IGNORE_INDEX = -100
PATCHES_PER_SIDE = IMAGE_SIDE // PATCH_SIDE


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """A batch, and for each conversation its image, row, segment id, and application."""

    batch: Batch
    segments: list[tuple[int, int, int, Application]]


class Packer:
    """Packs chips into batches with ``rows`` rows per image."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._tokenizer = build_tokenizer()
        id_of = self._tokenizer.convert_tokens_to_ids
        self._prompt_end = [id_of(END), id_of(ROLE_TOKENS["assistant"])]
        self._end = id_of(END)
        image = [
            id_of(IMAGE_BOUNDARY),
            id_of(GLOBAL_IMAGE),
            *[id_of(IMAGE)] * IMAGE_TOKENS,
            id_of(IMAGE_BOUNDARY),
        ]
        self._prefix = torch.tensor([id_of(ROLE_TOKENS["user"]), *image])

    def pack(
        self, chips: Sequence[tuple[NDArray[np.uint8], ChipLabels]], rng: np.random.Generator | None
    ) -> PackedBatch:
        """Pack as many conversations as fit: in an order drawn from ``rng``, or in their own order for None."""
        conversations_per_image = [make_conversations(labels, rng) for _, labels in chips]
        if rng is not None:
            conversations_per_image = [
                [image_conversations[index] for index in rng.permutation(len(image_conversations))]
                for image_conversations in conversations_per_image
            ]
        encoded = iter(self._encode(list(chain.from_iterable(conversations_per_image))))
        layout = np.zeros((3, len(chips), self.rows, ROW_TOKENS), np.int64)
        layout[2] = IGNORE_INDEX
        weights = np.zeros(layout.shape[1:], np.float32)
        segments = []
        for image, image_conversations in enumerate(conversations_per_image):
            filled, segment_counts = [0] * self.rows, [0] * self.rows
            for conversation in image_conversations:
                tokens, answer_length = next(encoded)
                row = next((row for row in range(self.rows) if filled[row] + len(tokens) <= ROW_TOKENS), None)
                if row is None:
                    continue
                start, filled[row], segment_counts[row] = (
                    filled[row],
                    filled[row] + len(tokens),
                    segment_counts[row] + 1,
                )
                begin, end = filled[row] - answer_length - 1, filled[row] - 1
                layout[0, image, row, start : filled[row]] = tokens
                layout[1, image, row, start : filled[row]] = segment_counts[row]
                layout[2, image, row, begin:end] = tokens[-answer_length:]
                weights[image, row, begin:end] = _token_weight(conversation, answer_length)
                segments.append((image, row, segment_counts[row], conversation.application))
        images = torch.from_numpy(np.stack([pixels for pixels, _ in chips]))
        object_maps = torch.from_numpy(np.stack([object_map(labels) for _, labels in chips]))
        tokens, segment_ids, targets = torch.from_numpy(layout)
        batch = Batch(images, self._prefix, tokens, segment_ids, targets, torch.from_numpy(weights), object_maps)
        return PackedBatch(batch, segments)

    def _encode(self, conversations: list[Conversation]) -> list[tuple[list[int], int]]:
        """Return the tokens of each conversation after the image, and the number of answer tokens at their end."""
        prompts = self._tokenizer([conversation.prompt for conversation in conversations])["input_ids"]
        answers = self._tokenizer([conversation.answer for conversation in conversations])["input_ids"]
        return [
            ([*prompt, *self._prompt_end, *answer, self._end], len(answer) + 1)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


def _token_weight(conversation: Conversation, tokens: int) -> float:
    """Return the loss weight of each answer token.

    The tokens of a caption weigh at most 4 in total. Counts, the slowest to learn, weigh 4 each.
    """
    match conversation.application:
        case Application.IMAGE_DESCRIPTION:
            return min(1.0, 4 / tokens)
        case Application.INSTANCE_COUNTING:
            return 4.0
        case _:
            return 1.0


def object_map(labels: ChipLabels) -> NDArray[np.float32]:
    """Return object maps, shape (2 · category, patch row, patch column).

    The first half marks patches with the center of an object, the second half patches that its box covers.
    """
    maps = np.zeros((2, len(CATEGORIES), PATCHES_PER_SIDE, PATCHES_PER_SIDE), np.float32)
    for category, x, y, width, height in labels.boxes:
        left, top = int(x // PATCH_SIDE), int(y // PATCH_SIDE)
        right, bottom = int((x + width - 1) // PATCH_SIDE), int((y + height - 1) // PATCH_SIDE)
        maps[1, int(category), top : bottom + 1, left : right + 1] = 1
        maps[0, int(category), int((y + height / 2) // PATCH_SIDE), int((x + width / 2) // PATCH_SIDE)] = 1
    return maps.reshape(-1, PATCHES_PER_SIDE, PATCHES_PER_SIDE)
