"""Write sarlens-nano as a directory that transformers and vLLM load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from sarbench.nano.architecture import IMAGE_SIDE, IMAGE_TOKENS, architecture
from sarbench.nano.tokenizer import IMAGE, SPECIALS, VOCABULARY, build_tokenizer

TRAINED = Path(__file__).with_name("sarlens-nano.safetensors")
"""The weights that are shipped, from ``sarbench train``; what they can and cannot do stands in the model card."""
CARD = Path(__file__).with_name("MODEL_CARD.md")
WEIGHTS = "model.safetensors"


def nano_processor() -> Idefics3Processor:
    """Return the processor: one picture of 256 by 256 pixels, grey levels from -1 to 1."""
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
    """Return the configuration with the ids of the tokenizer."""
    tokenizer = build_tokenizer()
    return architecture(
        vocabulary=VOCABULARY,
        image_token=tokenizer.convert_tokens_to_ids(IMAGE),
        end_token=tokenizer.eos_token_id,
        pad_token=tokenizer.pad_token_id,
    )


def untrained_model(seed: int = 0) -> Idefics3ForConditionalGeneration:
    """Return the model in float32 with random weights that depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Idefics3ForConditionalGeneration(nano_config()).eval()
    # Noise that can be read: no token without text has the highest score.
    with torch.no_grad():
        model.lm_head.weight[: len(SPECIALS)] = 0
        model.lm_head.weight[len(build_tokenizer()) :] = 0
    return model


def write_weights(out: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write a complete checkpoint into ``out`` with ``weights``, named as transformers names them, in bf16."""
    _write_settings(out)
    half = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(half, out / WEIGHTS, metadata={"format": "pt"})


def write_trained(out: Path) -> None:
    """Write the shipped checkpoint into ``out``, with its model card as README.md."""
    _write_settings(out)
    shutil.copyfile(TRAINED, out / WEIGHTS)
    shutil.copyfile(CARD, out / "README.md")


def write_untrained(out: Path, seed: int = 0) -> None:
    """Write an untrained checkpoint into ``out``; equal seeds give equal files, byte for byte."""
    write_weights(out, untrained_model(seed).state_dict())


def _write_settings(out: Path) -> None:
    """All of a checkpoint but its weights."""
    out.mkdir(parents=True, exist_ok=True)
    config = nano_config()
    config.save_pretrained(out)
    nano_processor().save_pretrained(out)
    # What vLLM does when a request does not say; the writer of transformers refuses a temperature without sampling.
    defaults = {
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "temperature": 0.0,
        "max_new_tokens": 128,
    }
    (out / "generation_config.json").write_text(json.dumps(defaults, indent=2) + "\n", encoding="utf-8")
