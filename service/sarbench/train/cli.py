"""The ``sarbench train`` command."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sarbench.dataset.release_files import Split
from sarbench.preflight import INSTALL_TORCH, prepare_directory, require_modules
from sarbench.train.config import TrainingConfig
from sarbench.train.metrics_log import CURVES_FILE, LOG_FILE
from sarlens.prompts.applications import Application

DEFAULTS = TrainingConfig()
HELD_OUT_SEED_OFFSET = 1_000_003
"""Added to the seed of held-out chips, so that they differ from a test set of the same seed."""


def train(
    out: Annotated[Path, typer.Option(help="Directory of the training: chips, state, log, curves, and checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Total number of steps.")] = DEFAULTS.steps,
    images: Annotated[int, typer.Option(min=1, help="Number of simulated training chips.")] = DEFAULTS.images,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = DEFAULTS.seed,
    without: Annotated[
        list[Application] | None, typer.Option(help="Application to exclude from training; repeatable.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Stop after this many minutes; continue with --resume.")
    ] = float("inf"),
    resume: Annotated[bool, typer.Option(help="Continue the training in --out with its saved options.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Number of simulation processes.")] = os.cpu_count() or 1,
) -> None:
    """Train sarlens-nano on simulated chips that the gateway's pipeline renders."""
    require_modules("sarbench train", ("torch", "transformers"), INSTALL_TORCH)
    console = Console()
    plots = find_spec("matplotlib") is not None
    if not plots:
        console.print(f"[yellow]matplotlib isn't installed: metrics go to {LOG_FILE} only, without {CURVES_FILE}[/]")
    # OpenMP threads that wait must sleep: spinning halves the speed on cores that other processes use too.
    # torch reads this variable on import, which takes seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sarbench.torch_device import select_device  # noqa: PLC0415
    from sarbench.train.loop import TrainingSession  # noqa: PLC0415
    from sarbench.train.shards import ShardedChips  # noqa: PLC0415
    from sarbench.train.training_state import CHECKPOINT_DIR  # noqa: PLC0415

    deadline = time.monotonic() + 60 * minutes
    torch_device = select_device(device)
    if resume:
        config = TrainingConfig.load(out)
    else:
        prepare_directory(out)
        config = replace(DEFAULTS, steps=steps, images=images, seed=seed, excluded_applications=tuple(without or ()))
        config.save(out)
    chips = ShardedChips(
        _make_shards(out, "train", config.images, config.seed, jobs, console), config.excluded_applications
    )
    held_out = ShardedChips(
        _make_shards(out, "test", config.held_out_images, config.seed + HELD_OUT_SEED_OFFSET, jobs, console)
    )
    session = TrainingSession(config, chips, held_out, out, torch_device, deadline, plots)
    state = session.train(lambda metrics: console.print(" ".join(f"{name}={value}" for name, value in metrics.items())))
    remaining = config.steps - state.step
    status = f"{remaining:,} steps remain: continue with --resume" if remaining else "all steps are done"
    console.print(f"{out / CHECKPOINT_DIR} holds the model after {state.step:,} steps; {status}")


def _make_shards(out: Path, split: Split, images: int, seed: int, jobs: int, console: Console) -> list[Path]:
    from sarbench.train.shards import make_shards  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"simulating, {split}", total=images)
        return make_shards(
            out / "chips", split, images, seed=seed, jobs=jobs, advance=lambda count: bar.advance(task, count)
        )
