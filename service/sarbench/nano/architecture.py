"""The shape of sarlens-nano: Idefics3, that is a SigLIP-like encoder, pixel shuffle, and a Llama decoder.

Untrained and trained checkpoints share it. With 2,048 tokens it has 9.7 million parameters, 19.4 MB in bf16.
"""

from __future__ import annotations

from transformers import Idefics3Config, LlamaConfig
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

IMAGE_SIDE = 256
"""Pixels on each side of the one square picture that the model sees; the simulator's chips are as large."""

# 16 patches a side: a power of two makes the position buckets of transformers and of vLLM exact, hence equal.
PATCH_SIDE = 16
SHUFFLE = 2
IMAGE_TOKENS = (IMAGE_SIDE // PATCH_SIDE // SHUFFLE) ** 2
"""Tokens that one image takes in the decoder: one for each square of 32 pixels."""

CONTEXT = 4096
"""Longest sequence in tokens, images included."""


def architecture(*, vocabulary: int, image_token: int, end_token: int, pad_token: int) -> Idefics3Config:
    """Return the configuration for a tokenizer with ``vocabulary`` entries and these ids."""
    ids = {"bos_token_id": None, "eos_token_id": end_token, "pad_token_id": pad_token}
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        **ids,
    )
    vision = Idefics3VisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        hidden_act="gelu",
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=IMAGE_SIDE,
        patch_size=PATCH_SIDE,
    )
    return Idefics3Config(
        architectures=["Idefics3ForConditionalGeneration"],
        vision_config=vision,
        text_config=text,
        scale_factor=SHUFFLE,
        image_token_id=image_token,
        tie_word_embeddings=False,
        dtype="bfloat16",
        **ids,
    )
