"""``sarbench train``."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sarbench.dataset.layout import Split
from sarbench.errors import TrainingError
from sarbench.train.plan import Plan

if TYPE_CHECKING:
    import torch

    from sarbench.train.chips import Chips

DEFAULT = Plan()
HELD_OUT_SEED = 1_000_003
"""Added to the seed for the held-out chips, so that they are no part of a test set of the same seed."""


def train(
    out: Annotated[Path, typer.Option(help="Folder of the training: chips, state, log, curves and the checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps in all.")] = DEFAULT.steps,
    images: Annotated[int, typer.Option(min=1, help="Simulated chips to learn from.")] = DEFAULT.images,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = DEFAULT.seed,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after this long; go on with --resume.")] = float("inf"),
    resume: Annotated[bool, typer.Option(help="Go on with the training in --out, as it was planned.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = os.cpu_count() or 1,
) -> None:
    """Fit sarlens-nano to simulated chips, through the rendering of the gateway."""
    # Threads that wait for one another sleep: on cores that other processes use too, spinning halves the speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sarbench.train.loop import Stretch  # noqa: PLC0415  torch takes seconds to import, and reads the above then
    from sarbench.train.state import CHECKPOINT  # noqa: PLC0415

    until = time.monotonic() + 60 * minutes
    console = Console()
    if resume:
        plan = Plan.kept(out)
    else:
        plan = replace(DEFAULT, steps=steps, images=images, seed=seed)
        plan.keep(out)
    chips = _chips(out, "train", plan.images, plan.seed, jobs, console)
    held_out = _chips(out, "test", plan.held_out, plan.seed + HELD_OUT_SEED, jobs, console)
    stretch = Stretch(plan, chips, held_out, out, _device(device), until)
    state = stretch.train(lambda noted: console.print(" ".join(f"{name}={value}" for name, value in noted.items())))
    left = plan.steps - state.step
    rest = f"{left:,} steps are left: go on with --resume" if left else "all steps are done"
    console.print(f"{out / CHECKPOINT} holds the model after {state.step:,} steps; {rest}")


def _chips(out: Path, split: Split, images: int, seed: int, jobs: int, console: Console) -> Chips:
    from sarbench.train.chips import Chips, make_shards  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"simulating, {split}", total=images)
        shards = make_shards(
            out / "chips", split, images, seed=seed, jobs=jobs, advance=lambda made: bar.advance(task, made)
        )
    return Chips(shards)


def _device(name: str) -> torch.device:
    import torch  # noqa: PLC0415

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no CUDA device is at hand: use --device cpu")
    return torch.device(name)
