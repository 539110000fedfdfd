"""The weights that training begins with: random, but with a sense of place and of number."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.checkpoint import untrained_model
from sarbench.nano.tokenizer import NUMBERS, build_tokenizer
from sarbench.train.packing import GRID

WORD_SCALE = 0.2
"""Standard deviation of word vectors: of the size of what pictures become, so that neither drowns the other."""


def beginning(seed: int) -> Idefics3ForConditionalGeneration:
    """Return the model in float32; neighbouring patches and neighbouring numbers start out alike."""
    model = untrained_model(seed)
    places = model.model.vision_model.embeddings.position_embedding.weight
    words = model.model.text_model.embed_tokens.weight
    rows, cols = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    half = places.shape[1] // 2
    tokens = build_tokenizer().convert_tokens_to_ids([str(number) for number in range(NUMBERS)])
    with torch.no_grad():
        places.copy_(torch.cat([waves(rows.flatten(), half, GRID), waves(cols.flatten(), half, GRID)], 1) * 0.2)
        words.mul_(WORD_SCALE / words.std())
        words[tokens] += waves(torch.arange(NUMBERS), words.shape[1], NUMBERS) * WORD_SCALE
    return model


def waves(values: Tensor, features: int, span: int) -> Tensor:
    """Sines and cosines of ``values``, shape (value, feature), with periods from 2 to twice ``span``."""
    periods = torch.logspace(1, torch.log2(torch.tensor(2.0 * span)).item(), features // 2, base=2.0)
    angles = values[:, None] * (2 * torch.pi / periods)
    return torch.cat([angles.sin(), angles.cos()], 1)
