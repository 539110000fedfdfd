"""Initial weights: random, with sinusoidal embeddings of positions and numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.checkpoint import untrained_model
from sarbench.nano.tokenizer import NUMBER_TOKENS, build_tokenizer
from sarbench.train.packing import PATCHES_PER_SIDE

EMBEDDING_STD = 0.2
"""Standard deviation of token embeddings, similar to that of projected image tokens."""


def initial_model(seed: int) -> Idefics3ForConditionalGeneration:
    """Return the model in float32. Neighboring patches and neighboring numbers have similar embeddings."""
    model = untrained_model(seed)
    position_embedding = model.model.vision_model.embeddings.position_embedding.weight
    token_embedding = model.model.text_model.embed_tokens.weight
    rows, cols = torch.meshgrid(torch.arange(PATCHES_PER_SIDE), torch.arange(PATCHES_PER_SIDE), indexing="ij")
    half_width = position_embedding.shape[1] // 2
    tokens = build_tokenizer().convert_tokens_to_ids([str(number) for number in range(NUMBER_TOKENS)])
    with torch.no_grad():
        position_embedding.copy_(
            torch.cat(
                [
                    sinusoidal_embedding(rows.flatten(), half_width, PATCHES_PER_SIDE),
                    sinusoidal_embedding(cols.flatten(), half_width, PATCHES_PER_SIDE),
                ],
                1,
            )
            * 0.2
        )
        token_embedding.mul_(EMBEDDING_STD / token_embedding.std())
        token_embedding[tokens] += (
            sinusoidal_embedding(torch.arange(NUMBER_TOKENS), token_embedding.shape[1], NUMBER_TOKENS) * EMBEDDING_STD
        )
    return model


def sinusoidal_embedding(values: Tensor, features: int, span: int) -> Tensor:
    """Return sines and cosines of ``values``, shape (value, feature), with periods from 2 to twice ``span``."""
    periods = torch.logspace(1, torch.log2(torch.tensor(2.0 * span)).item(), features // 2, base=2.0)
    angles = values[:, None] * (2 * torch.pi / periods)
    return torch.cat([angles.sin(), angles.cos()], 1)
