"""Conversations as tokens, laid into rows so that little is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sarbench.nano.architecture import IMAGE_SIDE, IMAGE_TOKENS, PATCH_SIDE
from sarbench.nano.tokenizer import END, IMAGE, IMAGE_EDGE, IMAGE_WHOLE, ROLES, build_tokenizer
from sarbench.train.chips import Known
from sarbench.train.forward import Batch
from sarbench.train.wording import Conversation, conversations
from sarlens.prompts.applications import CATEGORIES, Application

LENGTH = 64
"""Tokens in a row; a conversation that is longer is left out."""
UNLEARNT = -100
GRID = IMAGE_SIDE // PATCH_SIDE


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch, and of each conversation in it the picture, row and turn it stands at and its application."""

    batch: Batch
    places: list[tuple[int, int, int, Application]]


class Packer:
    """Turns chips into batches of ``rows`` rows a picture."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._tokenizer = build_tokenizer()
        id_of = self._tokenizer.convert_tokens_to_ids
        self._asked_end = [id_of(END), id_of(ROLES["assistant"])]
        self._end = id_of(END)
        image = [id_of(IMAGE_EDGE), id_of(IMAGE_WHOLE), *[id_of(IMAGE)] * IMAGE_TOKENS, id_of(IMAGE_EDGE)]
        self._prefix = torch.tensor([id_of(ROLES["user"]), *image])

    def pack(self, chips: Sequence[tuple[NDArray[np.uint8], Known]], rng: np.random.Generator | None) -> Packed:
        """Lay out as many conversations as there is room for: drawn by ``rng``, all in order if it is None."""
        told = [conversations(known, rng) for _, known in chips]
        if rng is not None:
            told = [[few[index] for index in rng.permutation(len(few))] for few in told]
        encoded = iter(self._encode([conversation for few in told for conversation in few]))
        layout = np.zeros((3, len(chips), self.rows, LENGTH), np.int64)
        layout[2] = UNLEARNT
        weights = np.zeros(layout.shape[1:], np.float32)
        places = []
        for picture, few in enumerate(told):
            filled, turns = [0] * self.rows, [0] * self.rows
            for conversation in few:
                tokens, answer = next(encoded)
                row = next((row for row in range(self.rows) if filled[row] + len(tokens) <= LENGTH), None)
                if row is None:
                    continue
                start, filled[row], turns[row] = filled[row], filled[row] + len(tokens), turns[row] + 1
                begin, end = filled[row] - answer - 1, filled[row] - 1
                layout[0, picture, row, start : filled[row]] = tokens
                layout[1, picture, row, start : filled[row]] = turns[row]
                layout[2, picture, row, begin:end] = tokens[-answer:]
                weights[picture, row, begin:end] = _weight(conversation, answer)
                places.append((picture, row, turns[row], conversation.application))
        pictures = torch.from_numpy(np.stack([picture for picture, _ in chips]))
        maps = torch.from_numpy(np.stack([object_map(known) for _, known in chips]))
        tokens, turns_, targets = torch.from_numpy(layout)
        batch = Batch(pictures, self._prefix, tokens, turns_, targets, torch.from_numpy(weights), maps)
        return Packed(batch, places)

    def _encode(self, told: list[Conversation]) -> list[tuple[list[int], int]]:
        """Tokens of each conversation after the picture, and how many of them, at the end, are the answer's."""
        asked = self._tokenizer([conversation.asked for conversation in told])["input_ids"]
        answers = self._tokenizer([conversation.answer for conversation in told])["input_ids"]
        return [
            ([*before, *self._asked_end, *after, self._end], len(after) + 1)
            for before, after in zip(asked, answers, strict=True)
        ]


def _weight(conversation: Conversation, tokens: int) -> float:
    """A caption's many tokens count a few times as much as one answer; a number, which is learnt last, four times."""
    match conversation.application:
        case Application.IMAGE_DESCRIPTION:
            return min(1.0, 4 / tokens)
        case Application.INSTANCE_COUNTING:
            return 4.0
        case _:
            return 1.0


def object_map(known: Known) -> NDArray[np.float32]:
    """Where objects are, shape (2 · category, patch row, patch col): 1 where a middle lies, and where a box reaches."""
    found = np.zeros((2, len(CATEGORIES), GRID, GRID), np.float32)
    for category, x, y, width, height in known.boxes:
        left, top = int(x // PATCH_SIDE), int(y // PATCH_SIDE)
        right, bottom = int((x + width - 1) // PATCH_SIDE), int((y + height - 1) // PATCH_SIDE)
        found[1, int(category), top : bottom + 1, left : right + 1] = 1
        found[0, int(category), int((y + height / 2) // PATCH_SIDE), int((x + width / 2) // PATCH_SIDE)] = 1
    return found.reshape(-1, GRID, GRID)
