"""Configuration of a fine-tuning, saved in its folder so that a resumed fine-tuning uses the same options."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sarbench.errors import TrainingError
from sarbench.legacy_keys import with_current_keys
from sarlens.prompts.applications import Application

CONFIG_FILE = "finetune.json"
PROFILE_FILE = "profile.toml"
_CURRENT_NAMES = {
    "base": "base_model",
    "size": "image_size",
    "rank": "lora_rank",
    "rate": "learning_rate",
    "warm_up": "warmup_ratio",
    "batch": "batch_size",
}
"""Earlier keys of ``finetune.json`` and their current names."""
DECODER_LAYERS = {
    "qwen2_5_vl": "model.language_model.layers",
    "qwen2_vl": "model.language_model.layers",
    "llava": "model.language_model.layers",
    "idefics3": "model.text_model.layers",
}
"""Module path of the decoder layers, by transformers model type."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Base model, data, and hyperparameters. The defaults are those of the SARLANG-1M paper.

    ``learning_rate`` is the peak: it rises linearly over the first ``warmup_ratio`` of the steps, then decays to 0 by a
    cosine. ``image_size`` is the longest side of rendered images in pixels.
    """

    base_model: str
    data: str
    applications: tuple[Application, ...] = ()
    limit: int | None = None
    image_size: int = 448
    epochs: float = 3
    lora_rank: int = 8
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.1
    batch_size: int = 1
    seed: int = 0

    @staticmethod
    def require_unused(out: Path) -> None:
        """Check that ``out`` has no configuration yet.

        Raises:
            TrainingError: ``out`` already has a configuration.
        """
        if (out / CONFIG_FILE).exists():
            raise TrainingError(
                f"{out} already holds a fine-tuning: pass --resume to continue it, or choose another --out"
            )

    def save(self, out: Path) -> None:
        """Write the configuration into ``out``.

        Raises:
            TrainingError: ``out`` already has a configuration.
        """
        self.require_unused(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / CONFIG_FILE).write_bytes(_ADAPTER.dump_json(self, indent=2) + b"\n")

    def save_profile(self, out: Path) -> None:
        """Write the profile with which the gateway serves the adapter in ``out``: that of SARLANG-1M, with its size."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", out.resolve().name).strip("-._") or "adapter"
        lines = [
            f"[profiles.{json.dumps(name)}]",
            'extends = "sarlang"',
            f"models = [{json.dumps(out.resolve().name)}]",
        ]
        numbers = 'boxes.numbers = "as_written"'
        (out / PROFILE_FILE).write_text("\n".join([*lines, f"size = {self.image_size}", numbers, ""]), encoding="utf-8")

    @staticmethod
    def load(out: Path) -> FinetuneConfig:
        """Read the configuration of the fine-tuning in ``out``.

        Raises:
            TrainingError: ``out`` has no readable configuration.
        """
        try:
            document = json.loads((out / CONFIG_FILE).read_bytes())
            return _ADAPTER.validate_python(with_current_keys(document, _CURRENT_NAMES))
        except (OSError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"{out} has no fine-tuning to resume: {CONFIG_FILE} is missing or unreadable"
            ) from error


_ADAPTER = TypeAdapter(FinetuneConfig)


def lora_target_modules(model_type: str) -> str:
    """Return a regular expression that matches every linear layer of the decoder by name.

    The image encoder isn't adapted: the paper's files point to a tool that freezes it by default, and vLLM serves
    decoder adapters without further options.

    Raises:
        TrainingError: the model type isn't supported.
    """
    if model_type not in DECODER_LAYERS:
        raise TrainingError(
            f"models of type {model_type} aren't supported; the supported types are {', '.join(DECODER_LAYERS)}"
        )
    return rf"{DECODER_LAYERS[model_type]}\.\d+\.(self_attn|mlp)\.[a-z]+_proj".replace("model.", r"model\.")
