"""Checkpoints of sarlens-nano as directories that transformers and vLLM load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from sarbench.nano.architecture import make_config
from sarbench.nano.dimensions import IMAGE_SIDE, IMAGE_TOKENS
from sarbench.nano.tokenizer import IMAGE, SPECIAL_TOKENS, VOCAB_SIZE, build_tokenizer

TRAINED_WEIGHTS = Path(__file__).with_name("sarlens-nano.safetensors")
"""The bundled weights from ``sarbench train``. The model card describes their abilities and limits."""
MODEL_CARD = Path(__file__).with_name("MODEL_CARD.md")
WEIGHTS_FILE = "model.safetensors"


def nano_processor() -> Idefics3Processor:
    """Return the processor for one image of 256 by 256 pixels, with gray levels scaled to -1 to 1."""
    images = Idefics3ImageProcessorPil(
        do_resize=False,
        do_image_splitting=False,
        size={"longest_edge": IMAGE_SIDE},
        max_image_size={"longest_edge": IMAGE_SIDE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    tokenizer = build_tokenizer()
    return Idefics3Processor(images, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=tokenizer.chat_template)


def nano_config() -> Idefics3Config:
    """Return the model configuration with the token ids of the tokenizer."""
    tokenizer = build_tokenizer()
    return make_config(
        vocab_size=VOCAB_SIZE,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def untrained_model(seed: int = 0) -> Idefics3ForConditionalGeneration:
    """Return the model in float32 with random weights that depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Idefics3ForConditionalGeneration(nano_config()).eval()
    # Zero the logits of tokens without text, so that untrained answers are readable text.
    with torch.no_grad():
        model.lm_head.weight[: len(SPECIAL_TOKENS)] = 0
        model.lm_head.weight[len(build_tokenizer()) :] = 0
    return model


def write_weights(out: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write a complete checkpoint into ``out``, with ``weights`` by transformers parameter name, in bf16."""
    _write_configs(out)
    half = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(half, out / WEIGHTS_FILE, metadata={"format": "pt"})


def write_trained(out: Path) -> None:
    """Write the bundled checkpoint into ``out``, with its model card as README.md."""
    _write_configs(out)
    shutil.copyfile(TRAINED_WEIGHTS, out / WEIGHTS_FILE)
    shutil.copyfile(MODEL_CARD, out / "README.md")


def write_untrained(out: Path, seed: int = 0) -> None:
    """Write an untrained checkpoint into ``out``. Equal seeds give identical files."""
    write_weights(out, untrained_model(seed).state_dict())


def _write_configs(out: Path) -> None:
    """Write all files of a checkpoint except its weights."""
    out.mkdir(parents=True, exist_ok=True)
    config = nano_config()
    config.save_pretrained(out)
    nano_processor().save_pretrained(out)
    # Defaults that vLLM applies. transformers' own writer rejects a temperature without sampling.
    defaults = {
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "temperature": 0.0,
        "max_new_tokens": 128,
    }
    (out / "generation_config.json").write_text(json.dumps(defaults, indent=2) + "\n", encoding="utf-8")
