"""The choices that a fine-tuning is made of, kept beside it so that going on later makes the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sarbench.errors import TrainingError
from sarlens.prompts.applications import Application

FILE = "finetune.json"
LAYERS = {
    "qwen2_5_vl": "model.language_model.layers",
    "qwen2_vl": "model.language_model.layers",
    "llava": "model.language_model.layers",
    "idefics3": "model.text_model.layers",
}
"""Where the decoder's layers are in each family, by transformers' model type."""


@dataclass(frozen=True)
class Recipe:
    """What to fine-tune on what, and how; the defaults are those of the SARLANG-1M paper.

    ``rate`` rises over the first ``warm_up`` share of the steps to its peak and falls to 0 along a cosine.
    ``size`` is the longest side in pixels that pictures are rendered to.
    """

    base: str
    data: str
    applications: tuple[Application, ...] = ()
    limit: int | None = None
    size: int = 448
    epochs: float = 3
    rank: int = 8
    rate: float = 1e-4
    warm_up: float = 0.1
    batch: int = 1
    seed: int = 0

    def keep(self, out: Path) -> None:
        """Write the recipe into ``out``.

        Raises:
            TrainingError: there is one already.
        """
        path = out / FILE
        if path.exists():
            raise TrainingError(f"{out} holds a fine-tuning: go on with --resume or choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_KEPT.dump_json(self, indent=2) + b"\n")

    @staticmethod
    def kept(out: Path) -> Recipe:
        """The recipe of the fine-tuning in ``out``.

        Raises:
            TrainingError: there is none.
        """
        try:
            return _KEPT.validate_json((out / FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise TrainingError(f"{out} holds no fine-tuning to resume: no readable {FILE}") from error


_KEPT = TypeAdapter(Recipe)


def adapted(model_type: str) -> str:
    """A pattern for the names of the layers that get an adapter: every linear layer of the decoder.

    The encoder of images stays as it is, as in the training that the paper's files point to, and because vLLM serves
    adapters of the decoder without further switches.

    Raises:
        TrainingError: the family is not one that the benchmark fine-tunes.
    """
    if model_type not in LAYERS:
        raise TrainingError(f"models of type {model_type} are not fine-tuned here, only {', '.join(LAYERS)}")
    return rf"{LAYERS[model_type]}\.\d+\.(self_attn|mlp)\.[a-z]+_proj".replace("model.", r"model\.")
