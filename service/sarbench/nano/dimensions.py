"""Dimensions of sarlens-nano, importable without torch."""

from __future__ import annotations

IMAGE_SIDE = 256
"""Side in pixels of the one square image that the model reads. Simulated chips have the same size."""

# 16 patches per side. With a power of two, transformers and vLLM compute exactly the same position buckets.
PATCH_SIDE = 16
PIXEL_SHUFFLE_FACTOR = 2
IMAGE_TOKENS = (IMAGE_SIDE // PATCH_SIDE // PIXEL_SHUFFLE_FACTOR) ** 2
"""Decoder tokens per image: one for each square of 32 by 32 pixels."""

CONTEXT_TOKENS = 4096
"""Maximum sequence length in tokens, image tokens included."""
