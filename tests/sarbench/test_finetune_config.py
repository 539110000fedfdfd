"""Configuration of a fine-tuning, and the layers that it adapts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, LlavaConfig, Qwen2_5_VLConfig, Qwen2VLConfig

from sarbench.finetune.config import DECODER_LAYERS, PROFILE_FILE, FinetuneConfig, lora_target_modules
from sarbench.nano.checkpoint import nano_config
from sarlens.profiles.loading import load_profiles


@pytest.mark.parametrize(
    ("config", "layers"),
    [(nano_config(), 4), (Qwen2VLConfig(), 80), (Qwen2_5_VLConfig(), 80), (LlavaConfig(), 32)],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_exactly_the_linear_layers_of_the_decoder_are_adapted(config: object, layers: int) -> None:
    """For each model type, the pattern matches seven matrices per decoder layer and nothing else."""
    model_type = config.model_type  # type: ignore[attr-defined]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    chosen = {name for name in linear if re.fullmatch(lora_target_modules(model_type), name)}
    assert chosen == {name for name in linear if name.startswith(DECODER_LAYERS[model_type])}
    assert len(chosen) == 7 * layers


def test_earlier_keys_are_read(tmp_path: Path) -> None:
    """A configuration with the earlier keys of its fields is loaded."""
    earlier = {"base": "nano", "data": "d", "size": 256, "rank": 4, "rate": 0.01, "warm_up": 0.2, "batch": 3}
    (tmp_path / "finetune.json").write_text(json.dumps(earlier))
    assert FinetuneConfig.load(tmp_path) == FinetuneConfig(
        "nano", "d", image_size=256, lora_rank=4, learning_rate=0.01, warmup_ratio=0.2, batch_size=3
    )


def test_an_adapter_has_a_profile(tmp_path: Path) -> None:
    """The gateway reads the profile of a fine-tuning: the size of its pictures, and boxes as the data set has them."""
    out = tmp_path / "my sar-qwen"
    out.mkdir()
    FinetuneConfig("base", "data", image_size=512).save_profile(out)
    profile = load_profiles((out / PROFILE_FILE,)).of("my sar-qwen", "Qwen/Qwen2.5-VL-7B-Instruct")
    assert (profile.name, profile.size) == ("my-sar-qwen", 512)
    assert (profile.boxes.convention, profile.boxes.numbers) == ("xywh", "as_written")
