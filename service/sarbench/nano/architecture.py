"""Configuration of sarlens-nano: Idefics3 with a SigLIP-like encoder, pixel shuffle, and a Llama decoder.

Untrained and trained checkpoints share it. The model has 9,067,008 parameters, 18.15 MB in bf16.
"""

from __future__ import annotations

from transformers import Idefics3Config, LlamaConfig
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

from sarbench.nano.dimensions import CONTEXT_TOKENS, IMAGE_SIDE, PATCH_SIDE, PIXEL_SHUFFLE_FACTOR


def make_config(*, vocab_size: int, image_token_id: int, eos_token_id: int, pad_token_id: int) -> Idefics3Config:
    """Return the model configuration for a tokenizer of ``vocab_size`` entries with these token ids."""
    ids = {"bos_token_id": None, "eos_token_id": eos_token_id, "pad_token_id": pad_token_id}
    text = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT_TOKENS,
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
        scale_factor=PIXEL_SHUFFLE_FACTOR,
        image_token_id=image_token_id,
        tie_word_embeddings=False,
        dtype="bfloat16",
        **ids,
    )
