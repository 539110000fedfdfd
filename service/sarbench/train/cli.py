"""``sarbench train``."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sarbench.dataset.layout import Split
from sarbench.train.plan import Plan
from sarlens.prompts.applications import Application

DEFAULT = Plan()
HELD_OUT_SEED = 1_000_003
"""Added to the seed for the held-out chips, so that they are no part of a test set of the same seed."""


def train(
    out: Annotated[Path, typer.Option(help="Folder of the training: chips, state, log, curves and the checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps in all.")] = DEFAULT.steps,
    images: Annotated[int, typer.Option(min=1, help="Simulated chips to learn from.")] = DEFAULT.images,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = DEFAULT.seed,
    without: Annotated[
        list[Application] | None, typer.Option(help="Application to teach nothing of; may be repeated.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after this long; go on with --resume.")] = float("inf"),
    resume: Annotated[bool, typer.Option(help="Go on with the training in --out, as it was planned.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = os.cpu_count() or 1,
) -> None:
    """Fit sarlens-nano to simulated chips, through the rendering of the gateway."""
    # Threads that wait for one another sleep: on cores that other processes use too, spinning halves the speed.
    # torch reads it when it is imported, which takes seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sarbench.torch_device import torch_device  # noqa: PLC0415
    from sarbench.train.chips import Chips  # noqa: PLC0415
    from sarbench.train.loop import Stretch  # noqa: PLC0415
    from sarbench.train.state import CHECKPOINT  # noqa: PLC0415

    until = time.monotonic() + 60 * minutes
    console = Console()
    if resume:
        plan = Plan.kept(out)
    else:
        plan = replace(DEFAULT, steps=steps, images=images, seed=seed, without=tuple(without or ()))
        plan.keep(out)
    chips = Chips(_shards(out, "train", plan.images, plan.seed, jobs, console), plan.without)
    held_out = Chips(_shards(out, "test", plan.held_out, plan.seed + HELD_OUT_SEED, jobs, console))
    stretch = Stretch(plan, chips, held_out, out, torch_device(device), until)
    state = stretch.train(lambda noted: console.print(" ".join(f"{name}={value}" for name, value in noted.items())))
    left = plan.steps - state.step
    rest = f"{left:,} steps are left: go on with --resume" if left else "all steps are done"
    console.print(f"{out / CHECKPOINT} holds the model after {state.step:,} steps; {rest}")


def _shards(out: Path, split: Split, images: int, seed: int, jobs: int, console: Console) -> list[Path]:
    from sarbench.train.chips import make_shards  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"simulating, {split}", total=images)
        return make_shards(
            out / "chips", split, images, seed=seed, jobs=jobs, advance=lambda made: bar.advance(task, made)
        )
