"""``sarbench finetune``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sarbench.errors import TrainingError
from sarbench.finetune.recipe import Recipe
from sarlens.prompts.applications import Application

DEFAULT = Recipe("", "")


def finetune(
    out: Annotated[Path, typer.Option(help="Folder of the adapter; checkpoints lie below it.")],
    base: Annotated[str, typer.Option(help="Model to adapt: a directory, or a name on the Hugging Face hub.")] = "",
    data: Annotated[str, typer.Option(help="Directory or s3://bucket/prefix in SARLANG-1M's layout.")] = "",
    application: Annotated[list[Application] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Train on this many texts, drawn by the seed.")] = None,
    size: Annotated[int, typer.Option(min=32, max=4096, help="Longest side of a picture.")] = DEFAULT.size,
    epochs: Annotated[float, typer.Option(min=0.01)] = DEFAULT.epochs,
    rank: Annotated[int, typer.Option(min=1, max=256, help="Rank of the adapter.")] = DEFAULT.rank,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = DEFAULT.rate,
    warm_up: Annotated[float, typer.Option(min=0, max=0.99, help="Share of steps to reach it.")] = DEFAULT.warm_up,
    batch: Annotated[int, typer.Option(min=1, help="Texts a step.")] = DEFAULT.batch,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = DEFAULT.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the fine-tuning in --out, as planned.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Fit a LoRA adapter by the recipe of the SARLANG-1M paper; vLLM serves it with --enable-lora.

    For Qwen2.5-VL, Qwen2-VL, LLaVA-1.5 and sarlens-nano (--size 256). Then, for example: python -m
    vllm.entrypoints.openai.api_server --model BASE --enable-lora --max-lora-rank 8 --lora-modules my-sar=OUT
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if resume:
        recipe = Recipe.kept(out)
    elif not base or not data:
        raise TrainingError("say what to adapt with --base and what to learn from with --data")
    else:
        recipe = Recipe(base, data, tuple(application or ()), limit, size, epochs, rank, rate, warm_up, batch, seed)
    try:
        from sarbench.finetune import tuning  # noqa: PLC0415  torch takes seconds to import
        from sarbench.torch_device import torch_device  # noqa: PLC0415
    except ImportError as error:
        raise TrainingError(f"fine-tuning needs peft and TRL: pip install 'sarlens[finetune]' ({error})") from error
    trainer = tuning.prepared(recipe, out, torch_device(device))
    if not resume:
        recipe.keep(out)
    steps = tuning.finetune(trainer, out)
    typer.echo(f"{out} holds the adapter after {steps:,} steps")
