"""The ``sarbench finetune`` command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sarbench.errors import TrainingError
from sarbench.finetune.config import FinetuneConfig
from sarbench.preflight import prepare_directory, require_modules
from sarlens.prompts.applications import Application

DEFAULTS = FinetuneConfig("", "")
INSTALL = 'install the extra finetune from a checkout: pip install ".[finetune]"'


def finetune(
    out: Annotated[Path, typer.Option(help="Directory of the adapter and its checkpoints; created if missing.")],
    base: Annotated[str, typer.Option(help="Base model: a directory, or a name on the Hugging Face hub.")] = "",
    data: Annotated[str, typer.Option(help="Directory or s3://bucket/prefix in the layout of SARLANG-1M.")] = "",
    application: Annotated[
        list[Application] | None, typer.Option(help="Application to train on; repeatable. [default: all]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of texts, selected at random by the seed. [default: all]")
    ] = None,
    size: Annotated[
        int, typer.Option(min=32, max=4096, help="Longest side of rendered images in pixels.")
    ] = DEFAULTS.image_size,
    epochs: Annotated[float, typer.Option(min=0.01, help="Passes over the texts.")] = DEFAULTS.epochs,
    rank: Annotated[int, typer.Option(min=1, max=256, help="Rank of the adapter.")] = DEFAULTS.lora_rank,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = DEFAULTS.learning_rate,
    warm_up: Annotated[
        float, typer.Option(min=0, max=0.99, help="Fraction of the steps with a rising learning rate.")
    ] = DEFAULTS.warmup_ratio,
    batch: Annotated[int, typer.Option(min=1, help="Texts per step.")] = DEFAULTS.batch_size,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = DEFAULTS.seed,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the fine-tuning in --out with its saved options.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda.")] = "auto",
) -> None:
    """Train a LoRA adapter with the hyperparameters of the SARLANG-1M paper.

    Supports Qwen2.5-VL, Qwen2-VL, LLaVA-1.5, and sarlens-nano (with --size 256). To serve the adapter, run:
    sarlens worker --model BASE --enable-lora --max-lora-rank 8 --lora-modules my-sar=OUT

    On a CPU, add: --kv-cache-memory-bytes 128M --enforce-eager
    """
    if not resume and not (base and data):
        raise TrainingError("name the base model with --base and the data set with --data")
    require_modules("sarbench finetune", ("torch", "transformers", "peft", "trl", "datasets"), INSTALL)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sarbench.finetune.trainer import make_trainer, train_adapter  # noqa: PLC0415  torch is slow to import
    from sarbench.torch_device import select_device  # noqa: PLC0415

    torch_device = select_device(device)
    if resume:
        config = FinetuneConfig.load(out)
    else:
        applications = tuple(application or ())
        config = FinetuneConfig(base, data, applications, limit, size, epochs, rank, rate, warm_up, batch, seed)
        config.require_unused(out)
        prepare_directory(out)
    trainer = make_trainer(config, out, torch_device)
    if not resume:
        config.save(out)
        config.save_profile(out)
    steps = train_adapter(trainer, out)
    typer.echo(f"{out} holds the adapter after {steps:,} steps")
